package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Sources are the places that settings are read from.
type Sources struct {
	// Environ is a list of NAME=value, as os.Environ gives it.
	Environ []string
	// Flags hold what AddFlags and AddConfigFlag registered; only flags that were set count. May be nil.
	Flags *pflag.FlagSet
	// ReadFile reads the YAML file and the files of secrets; os.ReadFile where nil.
	ReadFile func(path string) ([]byte, error)
}

// Load reads the settings of some areas (all where none is named). The error is an *Error that holds every problem;
// unknown names are looked for everywhere, values are only checked in the areas.
func Load(src Sources, areas ...Area) (*Config, error) {
	if src.ReadFile == nil {
		src.ReadFile = os.ReadFile
	}
	l := &loader{src: src, env: parseEnviron(src.Environ), merged: koanf.New("."), origin: map[string]origin{}}
	l.defaults()
	l.yamlFile()
	l.environment()
	l.flags()
	c := &Config{}
	for _, s := range Settings(areas...) {
		l.apply(c, s)
	}
	if len(l.problems) == 0 {
		l.check(c, areas)
	}
	c.warnings = l.warnings
	if len(l.problems) > 0 {
		return nil, &Error{Problems: l.problems}
	}
	return c, nil
}

// Error is everything that is wrong with the settings, one line each.
type Error struct{ Problems []string }

func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// loader merges the layers, the weakest first. Of a setting, a layer brings either the value or, under name_file, the
// path of a file that holds it; either replaces both of the weaker layers.
type loader struct {
	src      Sources
	env      map[string]string
	merged   *koanf.Koanf
	origin   map[string]origin // by setting
	problems []string
	warnings []string
}

// origin is where a setting comes from: its source in words, and how the user spelt it there.
type origin struct{ source, spelling string }

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// put brings a value of a layer in, in the place of weaker ones.
func (l *loader) put(s Setting, key string, value any, from origin) {
	l.merged.Delete(s.Name)
	l.merged.Delete(s.Name + fileSuffix)
	if err := l.merged.Load(confmap.Provider(map[string]any{key: value}, ""), nil); err != nil {
		l.problem("%s: %v", from.spelling, err)
		return
	}
	l.origin[s.Name] = from
}

// putEither brings in what a layer says about a setting: its value, its file, neither, but not both.
func (l *loader) putEither(s Setting, value, path string, from, fileFrom origin) {
	switch {
	case value != "" && path != "":
		l.problem("%s and %s are both set: keep one of them", from.spelling, fileFrom.spelling)
	case value != "":
		l.put(s, s.Name, value, from)
	case path != "":
		l.put(s, s.Name+fileSuffix, path, fileFrom)
	}
}

func (l *loader) defaults() {
	for _, s := range table {
		l.put(s, s.Name, s.Default, origin{"default", s.Env()})
	}
}

// configVariable names the YAML file, like the flag --config.
const (
	configVariable = envPrefix + "CONFIG"
	configFlag     = "config"
)

func (l *loader) yamlFile() {
	path := l.env[configVariable]
	if f := l.src.Flags; f != nil && f.Changed(configFlag) {
		path, _ = f.GetString(configFlag)
	}
	if path == "" {
		return
	}
	text, err := l.src.ReadFile(path)
	if err != nil {
		l.problem("configuration file: %v", err)
		return
	}
	file := koanf.New(".")
	if err := file.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		// The parser's message can quote the line, and the line can hold a secret.
		l.problem("configuration file %s: is not YAML: write one \"name: value\" a line", path)
		return
	}
	top := file.Raw()
	for _, key := range sortedKeys(top) {
		if _, known := find(strings.TrimSuffix(key, fileSuffix)); !known {
			l.problem("configuration file %s: unknown key %q%s", path, key, suggest(key, yamlKeys()))
		}
	}
	for _, s := range table {
		value, okValue := l.scalar(path, s.Name, top)
		file, okFile := l.scalar(path, s.Name+fileSuffix, top)
		if !okValue || !okFile {
			continue
		}
		if file != "" && !s.File {
			l.problem("configuration file %s: unknown key %q: %s cannot be read from a file", path, s.Name+fileSuffix, s.Name)
			continue
		}
		l.putEither(s, value, file, origin{path, s.Name + " in " + path}, origin{path, s.Name + fileSuffix + " in " + path})
	}
}

// scalar reads a YAML value as the text that the environment would hold; a list becomes one with commas.
func (l *loader) scalar(path, key string, top map[string]any) (text string, ok bool) {
	switch value := top[key].(type) {
	case nil:
		return "", true
	case string:
		return value, true
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(value), true
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			parts[i] = fmt.Sprint(part)
		}
		return strings.Join(parts, ","), true
	}
	l.problem("configuration file %s: %s is not a plain value: write \"%s: value\"", path, key, key)
	return "", false
}

func (l *loader) environment() {
	for _, s := range table {
		path := ""
		if s.File {
			path = l.env[s.Env()+"_FILE"]
		}
		l.putEither(s, l.env[s.Env()], path, origin{"environment", s.Env()}, origin{"environment", s.Env() + "_FILE"})
	}
	l.warnings = append(l.warnings, unknownVariables(l.env)...)
}

func (l *loader) flags() {
	if l.src.Flags == nil {
		return
	}
	set := func(name string) (value string, changed bool) {
		f := l.src.Flags.Lookup(name)
		if name == "" || f == nil || !f.Changed {
			return "", false
		}
		return f.Value.String(), true
	}
	for _, s := range table {
		value, isSet := set(s.Flag())
		path, isFileSet := set(s.FileFlag())
		from, fileFrom := origin{"flag", "--" + s.Flag()}, origin{"flag", "--" + s.FileFlag()}
		if isSet && s.NoFlagPassword && mayHoldPassword(value) {
			l.problem("%s: holds a password, which everybody on this machine can read in the process list: use %s or %s_FILE", from.spelling, s.Env(), s.Env())
			continue
		}
		if isSet && value == "" && !isFileSet { // --s3-endpoint= takes a setting back to "none"
			l.put(s, s.Name, "", from)
			continue
		}
		l.putEither(s, value, path, from, fileFrom)
	}
}

// apply parses a setting's merged value into the struct and notes it for Values.
func (l *loader) apply(c *Config, s Setting) {
	from := l.origin[s.Name]
	text := l.merged.String(s.Name)
	if path := l.merged.String(s.Name + fileSuffix); path != "" {
		content, err := l.src.ReadFile(path)
		if err != nil {
			l.problem("%s: %v", from.spelling, err)
			return
		}
		text = strings.TrimRight(string(content), "\r\n")
		if text == "" {
			l.problem("%s: %s is empty", from.spelling, path)
			return
		}
		from.source += ", file " + path
	}
	text = strings.TrimSpace(text)
	c.values = append(c.values, Value{Setting: s, Text: shown(s, text), Source: from.source})
	if text == "" && s.Default == "" {
		return
	}
	if err := s.set(c, text); err != nil {
		l.problem("%s: %v", from.spelling, err)
	}
}

// check looks at what no setting can tell alone.
func (l *loader) check(c *Config, areas []Area) {
	has := func(a Area) bool { return len(areas) == 0 || slices.Contains(areas, a) }
	spelling := func(name string) string { return l.origin[name].spelling }
	if has(Work) && c.RetryMax < c.RetryBase {
		l.problem("%s: is %s, shorter than the first backoff of %s (%s): raise one or lower the other",
			spelling("retry_max"), brief(c.RetryMax), brief(c.RetryBase), spelling("retry_base"))
	}
	if has(S3) && (c.S3InboxBucket == c.S3MaskedBucket || c.S3InboxBucket == c.S3RecordsBucket || c.S3MaskedBucket == c.S3RecordsBucket) {
		l.problem("%s, %s and %s must name three different buckets: unmasked images expire and must not lie among the others",
			spelling("s3_inbox_bucket"), spelling("s3_masked_bucket"), spelling("s3_records_bucket"))
	}
	if has(Sealing) && !c.Keyset.Empty() && c.InsecureNoSealing {
		l.problem("%s and %s contradict each other: drop one", spelling("keyset"), spelling("insecure_no_sealing"))
	}
}

// Require reports the named settings that are empty, with how to set them.
func (c *Config) Require(names ...string) error {
	var missing []string
	for _, v := range c.values {
		if !slices.Contains(names, v.Name) || v.Text != "" {
			continue
		}
		how := "set it"
		switch {
		case v.FileFlag() != "" && v.Flag() == "":
			how = fmt.Sprintf("set it, or name a file that holds it with %s_FILE or --%s", v.Env(), v.FileFlag())
		case v.Flag() != "":
			how = fmt.Sprintf("set it, or use --%s", v.Flag())
		}
		missing = append(missing, fmt.Sprintf("%s is missing: %s", v.Env(), how))
	}
	if len(missing) > 0 {
		return &Error{Problems: missing}
	}
	return nil
}

// ErrNoKeyset says that there is no keyset and nobody has accepted to work without.
var ErrNoKeyset = errors.New("KYCQ_KEYSET is missing, and kycq does not store personal data unsealed: " +
	"run `kycq keys generate > keyset.json; chmod 600 keyset.json` once, keep a copy, and set KYCQ_KEYSET_FILE=keyset.json " +
	"(for a trial on made-up data: --insecure-no-sealing)")

// RequireSealing returns ErrNoKeyset where neither a keyset nor InsecureNoSealing is set.
func (c *Config) RequireSealing() error {
	if c.Keyset.Empty() && !c.InsecureNoSealing {
		return ErrNoKeyset
	}
	return nil
}

// RequireCredentials reports what is missing to call Cashfree.
func (c *Config) RequireCredentials() error {
	return c.Require("cashfree_client_id", "cashfree_client_secret")
}
