package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func yamlKeys(settings []Setting) []string {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.Name)
		if s.File {
			keys = append(keys, s.Name+fileSuffix)
		}
	}
	return keys
}

func variables() []string {
	names := []string{configVariable}
	for _, key := range yamlKeys(Settings()) {
		names = append(names, envPrefix+strings.ToUpper(key))
	}
	return names
}

// KnownVariable reports whether kycq reads the environment variable.
func KnownVariable(name string) bool { return slices.Contains(variables(), name) }

// parseEnviron returns the KYCQ_ variables. An empty one counts as not set, because compose and unit files cannot omit it.
func parseEnviron(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, envPrefix) && value != "" {
			env[name] = value
		}
	}
	return env
}

// foreignVariables match KYCQ_ variables of others: the tests, the compose file, and Kubernetes for a service kycq.
var foreignVariables = regexp.MustCompile(`^KYCQ_(TEST_.*|MINIO_IMAGE|(.+_)?SERVICE_(HOST|PORT.*)|(.+_)?PORT(_[0-9]+_(TCP|UDP).*)?)$`)

func unknownVariables(env map[string]string) []string {
	var warnings []string
	known := variables()
	for _, name := range sortedKeys(env) {
		if !slices.Contains(known, name) && !foreignVariables.MatchString(name) {
			warnings = append(warnings, fmt.Sprintf("unknown variable %s is ignored%s", name, Nearest(name, known)))
		}
	}
	return warnings
}

// Nearest proposes the most similar known name, if one is similar enough: ": did you mean --rate?".
func Nearest(name string, known []string) string {
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

// editDistance is the Levenshtein distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, replaced)
		}
	}
	return row[len(b)]
}
