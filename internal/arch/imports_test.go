package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/kycq/kycq"

// source is a Go file: its path relative to the module, and its imports.
type source struct {
	path    string
	imports []string
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// inAny reports whether the file is in one of the folders, or its name begins with one of the prefixes.
func (s source) inAny(prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s.path, p) })
}

// covers reports whether an import path is one of paths, or below one that does not end with "$".
func covers(paths []string, imported string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return imported+"$" == p || imported == p || strings.HasPrefix(imported, strings.TrimSuffix(p, "/")+"/")
	})
}

// violations describes every import that breaks a rule.
func violations(sources []source) []string {
	var found []string
	for _, s := range sources {
		for _, imported := range s.imports {
			for _, because := range objections(s, imported) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", s.path, imported, because))
			}
		}
	}
	return found
}

func objections(s source, imported string) (because []string) {
	for _, r := range rules {
		if covers(r.imports, imported) && !s.inAny(r.only) && (r.tests || !s.isTest()) {
			because = append(because, r.because)
		}
	}
	if !strings.HasPrefix(imported, "./") {
		return because
	}
	if s.isTest() {
		if own := "./" + path.Dir(s.path); slices.Contains(siblings, own) && covers(deniedToSiblingTests, imported) && !covers([]string{own}, imported) {
			because = append(because, "the test of a sibling uses fakes of the others")
		}
		return because
	}
	if folder, allowed := allowedImports(s.path); !covers(allowed, imported) {
		because = append(because, fmt.Sprintf("not listed for %s in internal/arch/rules_test.go: declare an interface, and connect the two in cmd", folder))
	}
	return because
}

// allowedImports returns the entry of ownImports for the innermost listed folder of a file.
func allowedImports(file string) (folder string, allowed []string) {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		if list, ok := ownImports[dir+"/"]; ok {
			return dir + "/", slices.Concat(basics, list)
		}
	}
	return "basics", basics
}

func TestImportsFollowTheRules(t *testing.T) {
	t.Parallel()
	for _, v := range violations(sourcesOf(t)) {
		t.Error(v)
	}
}

// A rule about a folder that was renamed would have no effect.
func TestRulesNameExistingFolders(t *testing.T) {
	t.Parallel()
	sources := sourcesOf(t)
	var prefixes []string
	for folder := range ownImports {
		prefixes = append(prefixes, folder)
	}
	for _, sibling := range siblings {
		prefixes = append(prefixes, strings.TrimPrefix(sibling, "./")+"/")
	}
	for _, r := range rules {
		prefixes = append(prefixes, r.only...)
	}
	for _, p := range prefixes {
		if !slices.ContainsFunc(sources, func(s source) bool { return s.inAny([]string{p}) }) {
			t.Errorf("no file begins with %q", p)
		}
	}
}

func TestViolationsAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, imported string
		want           string // part of the message; empty: allowed
	}{
		"storage imports the gate":         {"storage/client.go", "./internal/gate", "declare an interface"},
		"cashfree imports seal":            {"internal/cashfree/client.go", "./internal/seal", "declare an interface"},
		"gate imports storage":             {"internal/gate/gate.go", "./storage", "declare an interface"},
		"maskcheck imports cashfree":       {"internal/maskcheck/check.go", "./internal/cashfree", "declare an interface"},
		"seal imports maskcheck":           {"internal/seal/seal.go", "./internal/maskcheck", "declare an interface"},
		"tasks imports the worker":         {"tasks/client.go", "./worker", "declare an interface"},
		"tasks imports storage":            {"tasks/client.go", "./storage", "declare an interface"},
		"the worker imports objects":       {"worker/process.go", "./internal/objects", "declare an interface"},
		"the worker imports a batch":       {"worker/process.go", "./internal/batch", "declare an interface"},
		"a batch imports the worker":       {"internal/batch/report/report.go", "./worker", "declare an interface"},
		"the worker imports the config":    {"worker/process.go", "./internal/config", "declare an interface"},
		"a new package is a leaf":          {"internal/new/new.go", "./tasks", "declare an interface"},
		"the simulator imports the client": {"internal/dev/simulator/serve.go", "./internal/cashfree", "declare an interface"},
		"production uses a test kit":       {"internal/gate/gate.go", "./internal/testenv", "test kits"},
		"production uses the simulator":    {"worker/process.go", "./internal/dev/simulator", "test kits"},
		"production uses testing":          {"storage/client.go", "testing", "test kits"},
		"asynq outside the server file":    {"worker/process.go", "github.com/hibiken/asynq", "queue"},
		"go-redis in the step machine":     {"worker/process.go", "github.com/redis/go-redis/v9", "redisx"},
		"AWS outside objects":              {"storage/record.go", "github.com/aws/aws-sdk-go-v2/aws", "S3"},
		"AWS in the worker":                {"worker/process.go", "github.com/aws/aws-sdk-go-v2/aws", "S3"},
		"AWS in another package's test":    {"worker/process_test.go", "github.com/aws/aws-sdk-go-v2/aws", "S3"},
		"tink outside seal":                {"tasks/client.go", "github.com/tink-crypto/tink-go/v2/aead", "encrypts"},
		"flags below cmd":                  {"internal/batch/feeder.go", "github.com/spf13/pflag", "flags"},
		"HTTP in a batch":                  {"internal/batch/feeder.go", "net/http", "calls the vendor"},
		"a deep printer":                   {"cmd/kycq/main.go", "github.com/google/go-cmp/cmp", "redacting"},
		"old random numbers":               {"worker/backoff.go", "math/rand", "math/rand/v2"},
		"a sibling's test":                 {"internal/gate/gate_test.go", "./worker", "fakes"},

		"asynq in the server file":    {"worker/server.go", "github.com/hibiken/asynq", ""},
		"storage imports objects":     {"storage/record.go", "./internal/objects", ""},
		"storage imports tasks":       {"storage/client.go", "./tasks", ""},
		"a leaf imports redact":       {"internal/new/new.go", "./internal/redact", ""},
		"a subpackage of batch":       {"internal/batch/report/report.go", "./internal/batch/manifest", ""},
		"a test uses a test kit":      {"internal/gate/gate_test.go", "./internal/testenv", ""},
		"storage's test imports seal": {"storage/record_test.go", "./internal/seal", ""},
		"new random numbers":          {"worker/backoff.go", "math/rand/v2", ""},
		"asynqmon is not asynq":       {"internal/doctor/doctor.go", "github.com/hibiken/asynqmon", ""},
		"cmd connects the packages":   {"cmd/kycq/wire.go", "./internal/gate", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := violations([]source{{c.file, []string{"fmt", c.imported}}})
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("got %q", got)
			case c.want != "" && !strings.Contains(strings.Join(got, "\n"), c.want):
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return string(out)
}

// sourcesOf reads the imports of every Go file of the module, whatever its build tags.
func sourcesOf(t *testing.T) []source {
	t.Helper()
	out := goList(t, "-e", "-json=Dir,ImportPath,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	var sources []source
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p struct {
			Dir, ImportPath                                              string
			GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			sources = append(sources, source{path.Join(folder, name), importsOf(t, filepath.Join(p.Dir, name))})
		}
	}
	if len(sources) < 100 {
		t.Fatalf("only %d files found", len(sources))
	}
	return sources
}

func importsOf(t *testing.T, file string) (imports []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if own, ok := strings.CutPrefix(imported, module+"/"); ok {
			imported = "./" + own
		}
		imports = append(imports, imported)
	}
	return imports
}
