package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Table aligns the cells of lines, which are separated by tabs.
func Table(lines []string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(lines, "\n"))
	_ = w.Flush()
	return text.String()
}
