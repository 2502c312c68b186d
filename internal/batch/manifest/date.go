package manifest

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// DateFormat is the form of dates in a file: DD, MM or MMM (Jan), and YYYY in any order, for example DD/MM/YYYY. Empty means
// YYYY-MM-DD.
type DateFormat string

var dateForm = regexp.MustCompile(`^(DD|MMM?|YYYY)[-/. ]?(DD|MMM?|YYYY)[-/. ]?(DD|MMM?|YYYY)$`)

// ParseDateFormat parses --date-format.
func ParseDateFormat(text string) (DateFormat, error) {
	f := strings.ToUpper(text)
	if text != "" && (!dateForm.MatchString(f) || !strings.Contains(f, "DD") || !strings.Contains(f, "MM") || !strings.Contains(f, "YYYY")) {
		return "", fmt.Errorf("--date-format %q: want DD, MM or MMM (Jan), and YYYY, for example DD/MM/YYYY", text)
	}
	return DateFormat(f), nil
}

var dateLayout = strings.NewReplacer("YYYY", "2006", "MMM", "Jan", "MM", "1", "DD", "2")

// iso returns the date as YYYY-MM-DD. Without a DateFormat it returns other texts as they are, for PassportInput.Validate.
func (f DateFormat) iso(text string) (string, *Problem) {
	if f == "" && len(text) > 4 && text[4] != '-' && rowForms[ColumnDOB].MatchString(text) {
		return "", &Problem{Code: "dob_value_invalid", Message: "dob must be a real date of the form YYYY-MM-DD (for another form: --date-format, for example DD/MM/YYYY)"}
	}
	if f == "" || text == "" {
		return text, nil
	}
	date, err := time.Parse(dateLayout.Replace(string(f)), text)
	if err != nil {
		return "", &Problem{Code: "dob_value_invalid", Message: "dob must be a real date of the form " + string(f)}
	}
	return date.Format(time.DateOnly), nil
}
