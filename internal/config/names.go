package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

func find(name string) (Setting, bool) {
	for _, s := range table {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func yamlKeys() []string {
	var keys []string
	for _, s := range table {
		keys = append(keys, s.Name)
		if s.File {
			keys = append(keys, s.Name+fileSuffix)
		}
	}
	return keys
}

func variables() []string {
	names := []string{configVariable}
	for _, s := range table {
		names = append(names, s.Env())
		if s.File {
			names = append(names, s.Env()+"_FILE")
		}
	}
	return names
}

// KnownVariable tells whether kycq reads an environment variable of this name.
func KnownVariable(name string) bool { return slices.Contains(variables(), name) }

// parseEnviron keeps the variables of kycq. One that is empty counts as not set, because compose files and unit files
// cannot leave a variable out.
func parseEnviron(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, envPrefix) && value != "" {
			env[name] = value
		}
	}
	return env
}

// foreignVariables are names that begin like kycq's and are not its own: the test suite's, the compose file's, and those
// that Kubernetes sets for a service called kycq or kycq-something.
var foreignVariables = regexp.MustCompile(`^KYCQ_(TEST_.*|MINIO_IMAGE|(.+_)?SERVICE_(HOST|PORT.*)|(.+_)?PORT(_[0-9]+_(TCP|UDP).*)?)$`)

func unknownVariables(env map[string]string) []string {
	var warnings []string
	for _, name := range sortedKeys(env) {
		if !KnownVariable(name) && !foreignVariables.MatchString(name) {
			warnings = append(warnings, fmt.Sprintf("unknown variable %s is ignored%s", name, suggest(name, variables())))
		}
	}
	return warnings
}

// suggest names the nearest known name, if any is near enough to be meant.
func suggest(name string, known []string) string {
	best, distance := "", len(name)/3+1
	for _, candidate := range known {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// editDistance is Levenshtein's, with two neighbours exchanged counted as one edit, the commonest slip.
func editDistance(a, b string) int {
	before, previous := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous = previous, row
	}
	return previous[len(b)]
}
