package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kycq/kycq/tasks"
)

// The columns that kycq reads. All others are copied to the report.
const (
	ColumnID         = "verification_id"
	ColumnImage      = "image"
	ColumnFileNumber = "file_number"
	ColumnDOB        = "dob"
	ColumnName       = "name"
)

// known returns the columns that kycq reads for a kind.
func known(kind tasks.Kind) (required, all []string) {
	if kind == tasks.Aadhaar {
		return []string{ColumnImage}, []string{ColumnImage, ColumnID}
	}
	return []string{ColumnFileNumber, ColumnDOB}, []string{ColumnFileNumber, ColumnDOB, ColumnID, ColumnName}
}

// Columns are the headings of a file, as they are in the file.
type Columns struct {
	kind    tasks.Kind
	mapping map[string]string // kycq's name → heading of the file
	names   []string
	index   map[string]int // by folded name
	known   map[string]int // kycq's name → position
}

// fold makes headings comparable, without case and surrounding space.
func fold(heading string) string { return strings.ToLower(strings.TrimSpace(heading)) }

func newColumns(kind tasks.Kind, mapping map[string]string) *Columns {
	return &Columns{kind: kind, mapping: mapping, index: map[string]int{}, known: map[string]int{}}
}

// add appends a heading. It returns false if there is one already.
func (c *Columns) add(heading string) bool {
	key := fold(heading)
	if _, found := c.index[key]; found {
		return false
	}
	c.index[key] = len(c.names)
	c.names = append(c.names, strings.Clone(heading))
	return true
}

// heading returns the heading of a column that kycq reads.
func (c *Columns) heading(name string) string {
	if heading := c.mapping[name]; heading != "" {
		return heading
	}
	return name
}

// bind finds the columns that kycq reads.
func (c *Columns) bind() {
	_, all := known(c.kind)
	for _, name := range all {
		if at, found := c.index[fold(c.heading(name))]; found {
			c.known[name] = at
		}
	}
}

// missing returns an error if a required or mapped column is missing.
func (c *Columns) missing() error {
	required, _ := known(c.kind)
	for _, name := range required {
		if _, found := c.known[name]; !found {
			return fileError(1, "there is no column %q; the columns are: %s (to use another heading: --map %s=HEADING)",
				c.heading(name), c.list(), name)
		}
	}
	for name, heading := range c.mapping {
		if _, found := c.known[name]; !found {
			return fileError(1, "--map %s=%s: there is no such column; the columns are: %s", name, heading, c.list())
		}
	}
	return nil
}

// list returns the first headings for an error message. In a file without headings these are personal data, so only what
// looks like a heading is quoted.
func (c *Columns) list() string {
	const most = 20
	var shown []string
	for _, name := range c.names[:min(len(c.names), most)] {
		if looksLikeHeading(name) {
			shown = append(shown, fmt.Sprintf("%q", name))
		} else {
			shown = append(shown, "(not a heading)")
		}
	}
	if rest := len(c.names) - most; rest > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", rest))
	}
	return strings.Join(shown, ", ")
}

func looksLikeHeading(name string) bool {
	return len(name) <= 40 && !strings.ContainsAny(name, "0123456789@/") && strings.TrimSpace(name) != ""
}

// ParseMapping parses --map values: NAME=HEADING.
func ParseMapping(kind tasks.Kind, values []string) (map[string]string, error) {
	_, all := known(kind)
	mapping := map[string]string{}
	for _, value := range values {
		name, heading, ok := strings.Cut(value, "=")
		name, heading = fold(name), strings.TrimSpace(heading)
		switch {
		case !ok || heading == "":
			return nil, fmt.Errorf("--map %q: want NAME=HEADING, for example verification_id=customer_id", value)
		case !slices.Contains(all, name):
			return nil, fmt.Errorf("--map %q: %s manifests have the columns %s", value, kind, strings.Join(all, ", "))
		case mapping[name] != "":
			return nil, fmt.Errorf("--map %q: %s is mapped twice", value, name)
		}
		mapping[name] = heading
	}
	return mapping, nil
}
