package manifest

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/kycq/kycq/internal/forms"
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
	mapping map[string]string   // kycq's name → heading of the file, or none
	wanted  map[string][]string // normalized heading → kycq's names: a file number can be the id, too
	line    int                 // of the headings of a CSV file
	names   []string
	index   map[string]int // by key
	known   map[string]int // kycq's name → position
}

// none is the heading to map a column to that the file does not have, although another one looks like it.
const none = "-"

func newColumns(kind tasks.Kind, mapping map[string]string) *Columns {
	c := &Columns{kind: kind, mapping: mapping, wanted: map[string][]string{}, index: map[string]int{}, known: map[string]int{}}
	_, all := known(kind)
	for _, name := range all {
		heading := normalize(c.heading(name))
		c.wanted[heading] = append(c.wanted[heading], name)
	}
	return c
}

// IDColumn returns the position of the verification_id in the headings of a file, or -1.
func IDColumn(kind tasks.Kind, mapping map[string]string, headings []string) int {
	c := newColumns(kind, mapping)
	for _, heading := range headings {
		c.add(heading)
	}
	if at, found := c.known[ColumnID]; found {
		return at
	}
	return -1
}

// fold makes headings comparable, without case and surrounding space.
func fold(heading string) string { return strings.ToLower(strings.TrimSpace(heading)) }

// normalize makes headings comparable that people take for the same: without case, space, hyphens, underscores and
// invisible characters.
func normalize(heading string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.White_Space, unicode.Pd, unicode.Pc) || r == '\u2212' || forms.IsInvisible(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, heading)
}

// key is equal for headings of the same column.
func (c *Columns) key(heading string) string {
	if names := c.wanted[normalize(heading)]; names != nil {
		return "\x00" + names[0] // no heading begins with NUL
	}
	return fold(heading)
}

// add appends a heading. It returns false if there is one already.
func (c *Columns) add(heading string) bool {
	key := c.key(heading)
	if _, found := c.index[key]; found {
		return false
	}
	c.index[key] = len(c.names)
	for _, name := range c.wanted[normalize(heading)] {
		c.known[name] = len(c.names)
	}
	c.names = append(c.names, strings.Clone(heading))
	return true
}

// reads reports whether kycq reads the column at that position.
func (c *Columns) reads(at int) bool { return c.nameOf(at) != "" }

// nameOf returns kycq's name of the column at that position, the first if it has two, or nothing.
func (c *Columns) nameOf(at int) string {
	_, all := known(c.kind)
	for _, name := range all {
		if found, ok := c.known[name]; ok && found == at {
			return name
		}
	}
	return ""
}

// heading returns the heading of a column that kycq reads.
func (c *Columns) heading(name string) string {
	if heading := c.mapping[name]; heading != "" {
		return heading
	}
	return name
}

// similar returns the column that a heading almost names, although kycq does not read it: a verification_id that is silently
// not used would be paid for again.
func (c *Columns) similar(heading string) string {
	got := normalize(heading)
	_, all := known(c.kind)
	for _, name := range all {
		if c.mapping[name] == "" && c.wanted[got] == nil && oneSlip(got, normalize(name)) {
			return name
		}
	}
	return ""
}

// explainSimilar says how to read the column, or not.
func explainSimilar(heading, name string) string {
	if !looksLikeHeading(heading) {
		heading = "HEADING"
	}
	return fmt.Sprintf("%q looks like %s: to read it, add --map %s=%q; if it is another column, add --map %s=%s",
		heading, name, name, heading, name, none)
}

// oneSlip reports whether one letter was added, left out, replaced or swapped with the next.
func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	a, b = a[i:], b[i:]
	switch {
	case len(b)-len(a) == 1:
		return a == b[1:]
	case len(a) != len(b) || a == "":
		return false
	case a[1:] == b[1:]:
		return true
	}
	return len(a) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]
}

// missing returns an error if a required or mapped column is missing, or almost there.
func (c *Columns) missing() error {
	for _, heading := range c.names {
		if name := c.similar(heading); name != "" {
			if _, found := c.known[name]; !found {
				return quotingError(c.line, "the column %s", explainSimilar(heading, name))
			}
		}
	}
	required, _ := known(c.kind)
	for _, name := range required {
		if _, found := c.known[name]; !found {
			return quotingError(c.line, "there is no column %q; the columns are: %s (to use another heading: --map %s=HEADING)",
				c.heading(name), c.list(), name)
		}
	}
	for name, heading := range c.mapping {
		if _, found := c.known[name]; !found && heading != none {
			return quotingError(c.line, "--map %s=%s: there is no such column; the columns are: %s", name, heading, c.list())
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
		if heading = strings.TrimSpace(heading); ok {
			name = columnNamed(kind, name)
		}
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

// columnNamed returns kycq's name of a column.
func columnNamed(kind tasks.Kind, name string) string {
	_, all := known(kind)
	for _, n := range all {
		if normalize(n) == normalize(name) {
			return n
		}
	}
	return name
}
