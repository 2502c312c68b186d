package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Sources are the places that settings are read from.
type Sources struct {
	// Environ is a list of NAME=value, like os.Environ.
	Environ []string
	// Flags contain those of AddFlags and AddConfigFlag; only flags that were set count. May be nil.
	Flags *pflag.FlagSet
	// ReadFile reads the YAML file and the files of secrets; nil means os.ReadFile.
	ReadFile func(path string) ([]byte, error)
}

// Load reads the settings of some areas, or all if no area is given. The error is an *Error with all problems. Names are
// checked everywhere, values only in the areas.
func Load(src Sources, areas ...Area) (*Config, error) {
	if src.ReadFile == nil {
		src.ReadFile = os.ReadFile
	}
	l := &loader{src: src, all: Settings(), env: parseEnviron(src.Environ), given: map[string]given{}}
	for _, s := range l.all {
		l.given[s.Name] = given{text: s.Default, source: "default", spelling: s.Env()}
	}
	l.yamlFile()
	l.environment()
	l.flags()
	c := &Config{File: l.file}
	for _, s := range chosen(c, areas) {
		l.apply(c, s)
	}
	if len(l.problems) == 0 {
		l.check(c, areas)
	}
	c.warnings = unknownVariables(l.env)
	if len(l.problems) > 0 {
		return nil, &Error{Problems: l.problems}
	}
	return c, nil
}

// Error lists everything that is wrong with the settings, one line each.
type Error struct{ Problems []string }

func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// loader reads one layer after the other, the weakest first.
type loader struct {
	src      Sources
	all      []Setting
	env      map[string]string
	given    map[string]given // by setting
	problems []string
	file     string // the YAML file
}

// given is what the strongest layer so far says about a setting: its value, or the path of the file that contains it.
type given struct {
	text, path string
	source     string // for config print
	spelling   string // for errors: how the user wrote the setting's name
}

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// put replaces what weaker layers say about s, if value or file is set. Only one of them may be.
func (l *loader) put(s Setting, value, file given) {
	switch {
	case value.text != "" && file.path != "":
		l.problem("%s and %s are both set: keep one of them", value.spelling, file.spelling)
	case value.text != "":
		l.given[s.Name] = value
	case file.path != "":
		l.given[s.Name] = file
	}
}

// The YAML file is named by a variable or a flag.
const (
	configVariable = envPrefix + "CONFIG"
	configFlag     = "config"
)

func (l *loader) yamlFile() {
	path := l.env[configVariable]
	if f := l.src.Flags; f != nil && f.Changed(configFlag) {
		path, _ = f.GetString(configFlag)
	}
	text, err := l.readConfig(&path)
	if l.file = path; path == "" {
		return
	}
	if err != nil {
		l.problem("configuration file: %v", err)
		return
	}
	var top map[string]any
	if err := yaml.Unmarshal(text, &top); err != nil {
		// The parser's message can quote a line that contains a secret.
		l.problem("configuration file %s: is not YAML: write one \"name: value\" a line", path)
		return
	}
	for _, key := range sortedKeys(top) {
		name := strings.TrimSuffix(key, fileSuffix)
		i := slices.IndexFunc(l.all, func(s Setting) bool { return s.Name == name })
		switch {
		case i < 0:
			l.problem("configuration file %s: unknown key %q%s", path, key, Nearest(key, yamlKeys(l.all)))
		case name != key && !l.all[i].File:
			l.problem("configuration file %s: unknown key %q: %s cannot be read from a file", path, key, name)
		}
	}
	for _, s := range l.all {
		file := given{source: path, spelling: s.Name + fileSuffix + " in " + path}
		if s.File {
			file.path = l.scalar(path, s.Name+fileSuffix, top)
		}
		l.put(s, given{text: l.scalar(path, s.Name, top), source: path, spelling: s.Name + " in " + path}, file)
	}
}

// readConfig reads the YAML file at path, or that of the user, or that of the machine. A file in the current folder, which may be
// a customer's, is never looked for. It sets path to that of the file, or to nothing if there is none.
func (l *loader) readConfig(path *string) ([]byte, error) {
	if *path != "" {
		return l.src.ReadFile(*path)
	}
	variables := map[string]string{}
	for _, entry := range l.src.Environ {
		name, value, _ := strings.Cut(entry, "=")
		variables[name] = value
	}
	folder := variables["XDG_CONFIG_HOME"]
	if home := variables["HOME"]; folder == "" && home != "" {
		folder = filepath.Join(home, ".config")
	}
	for _, folder := range []string{folder, "/etc"} {
		if !filepath.IsAbs(folder) {
			continue
		}
		*path = filepath.Join(folder, "kycq", "config.yaml")
		if text, err := l.src.ReadFile(*path); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return text, err
		}
	}
	*path = ""
	return nil, nil
}

// scalar returns a YAML value in the form of an environment variable; a list becomes one with commas.
func (l *loader) scalar(path, key string, top map[string]any) string {
	switch value := top[key].(type) {
	case nil:
		return ""
	case string, bool, int, int64, uint64, float64:
		return fmt.Sprint(value)
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			parts[i] = fmt.Sprint(part)
		}
		return strings.Join(parts, ",")
	}
	l.problem("configuration file %s: %s is not a plain value: write \"%s: value\"", path, key, key)
	return ""
}

func (l *loader) environment() {
	for _, s := range l.all {
		file := given{source: "environment", spelling: s.fileEnv()}
		if s.File {
			file.path = l.env[s.fileEnv()]
		}
		l.put(s, given{text: l.env[s.Env()], source: "environment", spelling: s.Env()}, file)
	}
}

func (l *loader) flags() {
	lookup := func(name string) (value string, changed bool) {
		if l.src.Flags == nil || name == "" {
			return "", false
		}
		f := l.src.Flags.Lookup(name)
		if f == nil || !f.Changed {
			return "", false
		}
		return f.Value.String(), true
	}
	for _, s := range l.all {
		text, isSet := lookup(s.Flag())
		path, isFileSet := lookup(s.FileFlag())
		value := given{text: text, source: "flag", spelling: "--" + s.Flag()}
		switch {
		case isSet && s.NoFlagPassword && mayHoldPassword(text):
			l.problem("%s: holds a password, which all users of this machine can read in the process list: use %s or %s",
				value.spelling, s.Env(), s.fileEnv())
		case isSet && text == "" && !isFileSet: // --s3-endpoint= removes the value of weaker layers
			l.given[s.Name] = value
		default:
			l.put(s, value, given{path: path, source: "flag", spelling: "--" + s.FileFlag()})
		}
	}
}

// permissionHint says whom a file must be readable for: in a container, that is not who has made it.
func permissionHint(err error) string {
	if !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	return fmt.Sprintf(" (this process runs as uid %d: give it the file, or make the file's mode 0644 in a folder of mode 0700)", os.Getuid())
}

// apply parses a setting's value into c.
func (l *loader) apply(c *Config, s Setting) {
	g := l.given[s.Name]
	if g.path != "" {
		content, err := l.src.ReadFile(g.path)
		if err != nil {
			l.problem("%s: %v%s", g.spelling, err, permissionHint(err))
			return
		}
		l.checkExposure(c, s, g)
		// Windows editors write a byte order mark before the text.
		if g.text = strings.TrimRight(strings.TrimPrefix(string(content), "\ufeff"), "\r\n"); g.text == "" {
			l.problem("%s: %s is empty", g.spelling, g.path)
			return
		}
		g.source += ", file " + g.path
	}
	g.text = strings.TrimSpace(g.text)
	c.values = append(c.values, Value{Setting: s, Text: shown(s, g.text), Path: g.path, Source: g.source})
	if g.text == "" && s.Default == "" {
		return
	}
	if err := s.set(g.text); err != nil {
		l.problem("%s: %v", g.spelling, err)
	}
}

// check checks settings against each other.
func (l *loader) check(c *Config, areas []Area) {
	has := func(a Area) bool { return len(areas) == 0 || slices.Contains(areas, a) }
	spelling := func(name string) string { return l.given[name].spelling }
	if has(Work) && c.RetryMax < c.RetryBase {
		l.problem("%s: is %s, shorter than the first backoff of %s (%s): raise one or lower the other",
			spelling("retry_max"), brief(c.RetryMax), brief(c.RetryBase), spelling("retry_base"))
	}
	if has(S3) && (c.S3InboxBucket == c.S3MaskedBucket || c.S3InboxBucket == c.S3RecordsBucket || c.S3MaskedBucket == c.S3RecordsBucket) {
		l.problem("%s, %s and %s must name three different buckets: unmasked images expire and must be kept apart",
			spelling("s3_inbox_bucket"), spelling("s3_masked_bucket"), spelling("s3_records_bucket"))
	}
	if has(Cashfree) && !c.ImageProxy.Empty() && len(c.ImageHosts) == 0 {
		l.problem("%s needs %s: list the hosts of Cashfree's image links there, since kycq cannot see which addresses a proxy connects to",
			spelling("image_proxy"), spelling("image_hosts"))
	}
	if has(Cashfree) {
		l.checkLive(c)
	}
	if has(API) && c.TLSCert.Empty() != c.TLSKey.Empty() {
		l.problem("%s and %s go together: set both, or none for plain HTTP", spelling("tls_cert"), spelling("tls_key"))
	}
	if has(Sealing) {
		l.checkKeysetCommand(c)
		if c.HasKeyset() && c.InsecureNoSealing {
			l.problem("a keyset and %s contradict each other: drop one", spelling("insecure_no_sealing"))
		}
	}
	if has(S3) && len(c.S3AllowedRegions) > 0 && !slices.Contains(c.S3AllowedRegions, c.S3Region) {
		l.problem("%s: is %s, which %s does not list: correct one of them", spelling("s3_region"), c.S3Region, spelling("s3_allowed_regions"))
	}
}
