package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/config"
)

func commanded(command string, env ...string) given {
	return given{env: append(env, "KYCQ_KEYSET_COMMAND="+command), areas: []config.Area{config.Sealing}}
}

func TestAKeysetCommandPrintsTheKeyset(t *testing.T) {
	t.Parallel()
	c := commanded("env", "AWS_PROFILE=kms", "KYCQ_OPERATOR=asha").mustLoad(t)
	text, err := c.ReadKeyset()
	if err != nil || text.Reveal() != "AWS_PROFILE=kms" {
		t.Errorf("its environment: %q, %v", text.Reveal(), err)
	}
	if !c.HasKeyset() || c.RequireSealing() != nil {
		t.Error("the settings have no keyset")
	}
	random := commanded("mktemp -u").mustLoad(t) // prints another text each time
	first, err := random.ReadKeyset()
	if again, err2 := random.ReadKeyset(); err != nil || err2 != nil || first.Empty() || again != first {
		t.Errorf("it does not run once: %v, %v", err, err2)
	}
	for _, v := range c.Values() {
		if v.Name == "keyset_command" && v.Text != "[secret]" {
			t.Errorf("the command is shown: %s", v.Text)
		}
	}
}

func TestAKeysetCommandThatFailsIsExplainedWithoutSecrets(t *testing.T) {
	t.Parallel()
	const key = "AbCdEfGhIjKlMnOpQrStUvWx"
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo "+key+"; echo \"denied: token=short-one "+key+"\" >&2; exit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"sh " + script:            "KYCQ_KEYSET_COMMAND (sh): exit status 3: denied: [secret] [secret]: run the command by hand",
		"true":                    "printed nothing",
		"/nowhere/kms":            "no such file",
		"head -c 2000000 " + zero: "more than 1 MiB",
	} {
		text, err := commanded(command).mustLoad(t).ReadKeyset()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), key) || !text.Empty() {
			t.Errorf("%s: %v", command, err)
		}
	}
	if _, err := commanded("sleep 1000").mustLoad(t).RunKeysetCommand(time.Millisecond); err == nil || !strings.Contains(err.Error(), "longer than 1ms") {
		t.Errorf("a command that hangs: %v", err)
	}
}

const zero = "/dev/zero"

// Nothing of what a command prints at length may fill the memory, or the message.
func TestOnlyTheFirstBytesOfAKeysetCommandAreKept(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("head -c 1000000 /dev/zero | tr '\\0' '.' >&2; exit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := commanded("sh " + script).mustLoad(t).ReadKeyset(); err == nil || len(err.Error()) > 1000 {
		t.Errorf("a message of %d bytes", len(fmt.Sprint(err)))
	}
	// Nor may a key show that the limit cuts.
	said := strings.Repeat(".", 490) + " " + strings.Repeat("A", 30)
	if err := os.WriteFile(script, []byte("echo '"+said+"' >&2; exit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := commanded("sh " + script).mustLoad(t).ReadKeyset(); err == nil || strings.Contains(err.Error(), "AA") {
		t.Errorf("%v", err)
	}
}

// Who can write a configuration file must not make an operator, or root, run a program.
func TestAKeysetCommandOfAFileThatOthersMayWriteIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml") // the folder for temporary files can be written by all
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := given{env: []string{"KYCQ_CONFIG=" + path}, files: map[string]string{path: "keyset_command: cat keyset.json\n"}, areas: []config.Area{config.Sealing}}
	if _, err := g.load(t); err == nil || !strings.Contains(err.Error(), "others than root can change") {
		t.Errorf("%v", err)
	}
	if runtime.GOOS == "linux" {
		if err := config.OnlyRootWrites("/proc/version"); err != nil {
			t.Errorf("a file of root: %v", err)
		}
	}
}

func TestOneSourceOfTheKeyset(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"KYCQ_KEYSET={}", "KYCQ_INSECURE_NO_SEALING=true"} {
		if _, err := commanded("true", other).load(t); err == nil {
			t.Errorf("%s: accepted beside a command", other)
		}
	}
	_, err := given{env: []string{"KYCQ_S3_ALLOWED_REGIONS=ap-south-2,eu-west-1"}, areas: []config.Area{config.S3}}.load(t)
	if want := "KYCQ_S3_REGION: is ap-south-1, which KYCQ_S3_ALLOWED_REGIONS does not list"; err == nil || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("a region that is not allowed: %v", err)
	}
}
