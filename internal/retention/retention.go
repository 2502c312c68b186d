// Package retention parses for how long the data of finished jobs is kept.
package retention

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rules say for how long data is kept, by "<kind>.<outcome>", or by "<kind>" for all other outcomes. What has no rule is kept.
type Rules map[string]time.Duration

const (
	day     = 24 * time.Hour
	maxDays = 36500
)

var (
	kinds    = []string{"aadhaar", "passport"}
	outcomes = []string{"valid", "invalid", "failed", "cancelled"}
)

// Parse reads "aadhaar.valid=90d,passport=365d".
func Parse(text string) (Rules, error) {
	rules := Rules{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		kind, outcome, specific := strings.Cut(name, ".")
		number, isDays := strings.CutSuffix(value, "d")
		days, err := strconv.Atoi(number)
		switch {
		case !slices.Contains(kinds, kind) || specific && !slices.Contains(outcomes, outcome):
			return nil, fmt.Errorf("%q: want KIND=DAYS or KIND.OUTCOME=DAYS with the kinds %s and the outcomes %s",
				part, strings.Join(kinds, ", "), strings.Join(outcomes, ", "))
		case err != nil || !isDays || days < 1 || days > maxDays:
			return nil, fmt.Errorf("%q: want whole days, at least one, for example %s=90d", part, name)
		case rules[name] != 0:
			return nil, fmt.Errorf("%q: %s has two rules: write one", part, name)
		}
		rules[name] = time.Duration(days) * day
	}
	return rules, nil
}

// For returns the rule of a finished job, as it is written, and for how long its data is kept; false if there is none.
func (r Rules) For(kind, outcome string) (rule string, keep time.Duration, ok bool) {
	for _, name := range []string{kind + "." + outcome, kind} {
		if keep := r[name]; keep > 0 {
			return fmt.Sprintf("%s=%dd", name, keep/day), keep, true
		}
	}
	return "", 0, false
}

// Any reports whether the kind has a rule.
func (r Rules) Any(kind string) bool {
	for name := range r {
		if of, _, _ := strings.Cut(name, "."); of == kind {
			return true
		}
	}
	return false
}
