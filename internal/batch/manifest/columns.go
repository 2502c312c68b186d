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

// Known lists the columns that kycq reads for a kind.
func Known(kind tasks.Kind) (required, optional []string) {
	if kind == tasks.Aadhaar {
		return []string{ColumnImage}, []string{ColumnID}
	}
	return []string{ColumnFileNumber, ColumnDOB}, []string{ColumnID, ColumnName}
}

// Columns are the headings of a file, as they are in the file.
type Columns struct {
	names []string
	index map[string]int // by folded name
	known map[string]int // our name → position
}

// fold makes headings comparable, without case and surrounding space.
func fold(heading string) string { return strings.ToLower(strings.TrimSpace(heading)) }

func newColumns() *Columns { return &Columns{index: map[string]int{}, known: map[string]int{}} }

// add appends a heading. It returns false if there is one already.
func (c *Columns) add(heading string) bool {
	key := fold(heading)
	if _, there := c.index[key]; there {
		return false
	}
	c.index[key] = len(c.names)
	c.names = append(c.names, strings.Clone(heading))
	return true
}

// Names returns the headings. For JSONL there may be more while it is read.
func (c *Columns) Names() []string { return slices.Clone(c.names) }

// bind finds the columns that kycq reads. mapping maps our names to the headings of the file.
func (c *Columns) bind(kind tasks.Kind, mapping map[string]string) {
	required, optional := Known(kind)
	for _, name := range append(required, optional...) {
		heading := name
		if theirs, mapped := mapping[name]; mapped {
			heading = theirs
		}
		if at, there := c.index[fold(heading)]; there {
			c.known[name] = at
		}
	}
}

// missing returns an error if a required or mapped column is missing.
func (c *Columns) missing(kind tasks.Kind, mapping map[string]string) error {
	required, _ := Known(kind)
	for _, name := range required {
		if _, there := c.known[name]; there {
			continue
		}
		heading := name
		if theirs := mapping[name]; theirs != "" {
			heading = theirs
		}
		return fileError(1, "there is no column %q; the columns are: %s (to use another heading: --map %s=HEADING)",
			heading, c.list(), name)
	}
	for name, heading := range mapping {
		if _, there := c.known[name]; !there {
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

// ParseMapping parses --map values, ours=theirs.
func ParseMapping(kind tasks.Kind, values []string) (map[string]string, error) {
	required, optional := Known(kind)
	all := append(required, optional...)
	mapping := map[string]string{}
	for _, value := range values {
		ours, theirs, ok := strings.Cut(value, "=")
		ours, theirs = fold(ours), strings.TrimSpace(theirs)
		switch {
		case !ok || theirs == "":
			return nil, fmt.Errorf("--map %q: want NAME=HEADING, for example verification_id=customer_id", value)
		case !slices.Contains(all, ours):
			return nil, fmt.Errorf("--map %q: %s manifests have the columns %s", value, kind, strings.Join(all, ", "))
		case mapping[ours] != "":
			return nil, fmt.Errorf("--map %q: %s is mapped twice", value, ours)
		}
		mapping[ours] = theirs
	}
	return mapping, nil
}
