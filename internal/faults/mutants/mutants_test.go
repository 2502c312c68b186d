package mutants

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// mutant is the program with one precaution left out.
type mutant struct {
	name string
	pkg  string // its folder, relative to the module
	old  string // occurs exactly once in the package's files
	new  string
	// tests are those that must fail.
	tests []testName
}

// testName names a test of a package: "worker", "TestName/subtest".
type testName struct{ pkg, name string }

// root is the module's folder, relative to this package's.
const root = "../../.."

// faults is the package whose tests run the built program.
const faults = "internal/faults"

// TestEditsApply checks that every edit still applies and gives valid syntax, that the tests of the mutant exist, and that
// docs/FAULTS.md lists it.
func TestEditsApply(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join(root, "docs", "FAULTS.md"))
	check(t, err)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			path, source := m.find(t)
			if _, err := parser.ParseFile(token.NewFileSet(), path, m.apply(source), 0); err != nil {
				t.Errorf("the edit: %v", err)
			}
			if len(m.tests) == 0 {
				t.Error("no test is named")
			}
			if !strings.Contains(string(doc), "| `"+m.name+"` |") {
				t.Error("docs/FAULTS.md does not list it")
			}
			for _, test := range m.tests {
				test.mustExist(t)
			}
		})
	}
}

// TestMutants checks that the tests which a mutant names pass without the edit and fail with it.
func TestMutants(t *testing.T) {
	t.Parallel()
	if os.Getenv("KYCQ_MUTANTS") == "" {
		t.Skip("takes half an hour: run make mutants")
	}
	unedited := map[testName]func() error{}
	for _, m := range mutants {
		for _, test := range m.tests {
			if unedited[test] == nil {
				unedited[test] = sync.OnceValue(func() error { return test.passes() })
			}
			t.Run(m.name+"/"+test.pkg, func(t *testing.T) {
				t.Parallel()
				if err := unedited[test](); err != nil {
					t.Fatalf("%s is red without the edit: %v", test.name, err)
				}
				m.mustFail(t, test)
			})
		}
	}
}

// overlay writes the edited file and the description of it that go build and go test read, and returns the latter's path.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	path, source := m.find(t)
	dir := t.TempDir()
	edited, description := filepath.Join(dir, "edited.go"), filepath.Join(dir, "overlay.json")
	check(t, os.WriteFile(edited, []byte(m.apply(source)), 0o600))
	text, err := json.Marshal(map[string]map[string]string{"Replace": {path: edited}})
	check(t, err)
	check(t, os.WriteFile(description, text, 0o600))
	return description
}

func (m mutant) apply(source string) string { return strings.Replace(source, m.old, m.new, 1) }

// find returns the file that holds the text to replace.
func (m mutant) find(t *testing.T) (path, source string) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, m.pkg))
	check(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	check(t, err)
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		check(t, err)
		if n := strings.Count(string(text), m.old); n > 0 {
			found += n
			path, source = file, string(text)
		}
	}
	if found != 1 {
		t.Fatalf("the text to replace occurs %d times in %s, want once:\n%s", found, m.pkg, m.old)
	}
	return path, source
}

func (m mutant) mustFail(t *testing.T, test testName) {
	t.Helper()
	overlay := m.overlay(t)
	// Jobs that a mutant has forgotten are waited for in vain: 4 minutes are enough for those that it has not.
	env := []string{"KYCQ_FAULTS_TIMEOUT=4m"}
	if test.pkg == faults {
		program := filepath.Join(t.TempDir(), "kycq")
		if out, err := run(nil, "go", "build", "-overlay", overlay, "-o", program, "./cmd/kycq"); err != nil {
			t.Fatalf("build kycq: %v\n%s", err, out)
		}
		env = append(env, "KYCQ_FAULTS_BINARY="+program)
	}
	out, err := run(env, test.command("-overlay", overlay)...)
	switch {
	case err == nil:
		t.Errorf("%s passes although the precaution is left out", test.name)
	case !failed.MatchString(out):
		t.Errorf("%s did not run: %v\n%s", test.name, err, tail(out))
	default:
		t.Logf("%s fails: %s", test.name, firstMessage(out))
	}
}

// failed matches the output of a test that ran and failed, not that of one that does not compile.
var failed = regexp.MustCompile(`(?m)^\s*--- FAIL|^panic: `)

var message = regexp.MustCompile(`\w+_test\.go:\d+: [^\n]{0,160}`)

// firstMessage is the first message of a failed test that tells more than the seed of its random numbers.
func firstMessage(output string) string {
	for _, m := range message.FindAllString(output, -1) {
		if !strings.Contains(strings.ToLower(m), "seed") {
			return m
		}
	}
	return ""
}

func (n testName) passes() error {
	out, err := run(nil, n.command()...)
	switch {
	case err != nil:
		return fmt.Errorf("%w\n%s", err, tail(out))
	case strings.Contains(out, "no tests to run"):
		return fmt.Errorf("%s has no test %s", n.pkg, n.name)
	case strings.Contains(out, "--- SKIP"):
		return fmt.Errorf("it is skipped:\n%s", tail(out))
	}
	return nil
}

// command runs the test.
func (n testName) command(flags ...string) []string {
	pattern := "^" + strings.ReplaceAll(n.name, "/", "$/^") + "$"
	return append(append([]string{"go", "test", "-v", "-count=1", "-timeout=12m"}, flags...), "-run", pattern, "./"+n.pkg)
}

// mustExist looks for the test's function: a test that is renamed must not drop out of the table.
func (n testName) mustExist(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, n.pkg, "*_test.go"))
	check(t, err)
	function, _, _ := strings.Cut(n.name, "/")
	for _, file := range files {
		source, err := os.ReadFile(file)
		check(t, err)
		if strings.Contains(string(source), "\nfunc "+function+"(") {
			return
		}
	}
	t.Errorf("%s has no test %s", n.pkg, function)
}

// run runs a command in the module's folder.
func run(env []string, command ...string) (output string, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func tail(output string) string {
	const most = 3000
	return output[max(0, len(output)-most):]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
