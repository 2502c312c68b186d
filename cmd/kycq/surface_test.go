package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/storage/storagetest"
)

// surface is a use of each command that can be run without a terminal, in the order in which they are run. Those with the exit
// code -1 serve until they are stopped.
var surface = []struct {
	command string // without kycq
	args    []string
	exit    int
}{
	{"storage init", nil, cli.ExitOK},
	{"storage policy", []string{"worker"}, cli.ExitOK},
	{"audit list", nil, cli.ExitOK}, // empty
	{"review list", nil, cli.ExitOK},
	{"fleet workers", nil, cli.ExitOK},
	{"batch list", nil, cli.ExitOK},
	{"storage adopt", nil, cli.ExitUsage}, // there is no installation yet
	{"keys generate", nil, cli.ExitOK},
	{"keys rotate", nil, cli.ExitOK},
	{"keys status", nil, cli.ExitOK},
	{"config print", nil, cli.ExitOK},
	{"config check", nil, cli.ExitOK},
	{"version", nil, cli.ExitOK},
	{"enqueue aadhaar", []string{"--id", "A1", "--image", "card.png"}, cli.ExitOK},
	{"enqueue passport", []string{"--id", "P1", "--file-number", "SPECIMEN1", "--dob", "1990-02-17"}, cli.ExitOK},
	{"job show", []string{"P1", "--reveal"}, cli.ExitOK},
	{"job wait", []string{"P1", "--timeout", "1ms"}, cli.ExitFailure},
	{"job cancel", []string{"P1"}, cli.ExitOK},
	{"job retry", []string{"P1"}, cli.ExitOK},
	{"job reconcile", nil, cli.ExitOK},
	{"batch submit", []string{"passport", "people.csv"}, cli.ExitOK},
	{"batch list", nil, cli.ExitOK},
	{"batch status", []string{"BATCH"}, cli.ExitOK},
	{"batch report", []string{"BATCH"}, cli.ExitOK},
	{"batch failures", []string{"BATCH"}, cli.ExitOK},
	{"batch retry", []string{"BATCH", "--failed"}, cli.ExitOK},
	{"batch pause", []string{"BATCH", "--reason", "trial"}, cli.ExitOK},
	{"batch resume", []string{"BATCH", "--max-calls", "5", "--yes"}, cli.ExitOK},
	{"batch cancel", []string{"BATCH", "--yes"}, cli.ExitOK},
	{"batch amend", []string{"people.csv"}, cli.ExitUsage},
	{"webhooks secret", nil, cli.ExitOK},
	{"webhooks list", nil, cli.ExitUsage}, // there is no file of endpoints
	{"webhooks deliveries", nil, cli.ExitUsage},
	{"webhooks test", []string{"app1"}, cli.ExitUsage},
	{"webhooks resend", []string{"--since", "1h"}, cli.ExitUsage},
	{"status", nil, cli.ExitOK},
	{"batch watch", []string{"people-00000000"}, cli.ExitFailure},
	{"batch images", []string{"BATCH", "--out", "images"}, cli.ExitUsage}, // passports have none
	{"job image", []string{"A1", "--out", "card.jpg"}, cli.ExitFailure},   // not masked yet
	{"fleet status", nil, cli.ExitOK},
	{"fleet pause", []string{"--reason", "trial"}, cli.ExitOK},
	{"fleet resume", nil, cli.ExitOK},
	{"fleet rate", []string{"passport", "50/m"}, cli.ExitOK},
	{"review list", nil, cli.ExitOK},
	{"review show", []string{"NONE", "--out", "card.jpg"}, cli.ExitFailure},
	{"review approve", []string{"NONE", "--reason", "trial"}, cli.ExitFailure},
	{"review reject", []string{"NONE", "--reason", "trial"}, cli.ExitFailure},
	{"erase", []string{"passport", "NONE", "--reason", "trial"}, cli.ExitFailure},
	{"legal-hold add", []string{"passport", "P1", "--reason", "trial"}, cli.ExitOK},
	{"legal-hold list", nil, cli.ExitOK},
	{"legal-hold remove", []string{"passport", "P1", "--reason", "trial"}, cli.ExitOK},
	{"retention run", []string{"--retention", "passport=365d", "--dry-run"}, cli.ExitOK},
	{"audit list", nil, cli.ExitOK},
	{"audit verify", nil, cli.ExitOK},
	{"audit export", nil, cli.ExitOK},
	{"man", []string{"man1"}, cli.ExitOK},
	{"doctor", nil, cli.ExitUsage}, // without credentials of Cashfree
	{"healthcheck", []string{"--listen", "127.0.0.1:1"}, cli.ExitUnreachable},
	{"dashboard", []string{"--no-login", "--listen", "127.0.0.1:0"}, -1},
	{"dashboard hash", nil, cli.ExitUsage},
	{"serve key", []string{"--name", "trial", "--scope", "read", "--file", "api.keys"}, cli.ExitOK},
	{"serve", []string{"--api-keys-file", "api.keys", "--listen", "127.0.0.1:0"}, -1},
	{"worker", []string{"--cashfree-client-id", "x", "--cashfree-client-secret-file", "secret", "--listen", "127.0.0.1:0"}, -1},
}

// readsRecord has the commands that read S3, and at most say less without Redis.
var readsRecord = map[string]bool{"job show": true, "job wait": true, "retention run": true}

// run runs the program in this process.
func run(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = program().Run(t.Context(), args, strings.NewReader(""), &out, &errs, environ)
	return code, out.String(), errs.String()
}

func surfaceStack(t *testing.T) (environ []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	server := storagetest.StartFake(t)
	cfg := server.Config()
	for name, body := range map[string][]byte{
		"secret":     []byte("x"),
		"card.png":   samplePNG(color.White),
		"people.csv": []byte("verification_id,file_number,dob\nB1,SPECIMEN2,1990-02-17\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeTestKeyset(filepath.Join(dir, "keyset.json")); err != nil {
		t.Fatal(err)
	}
	return []string{
		"KYCQ_REDIS_URL=redis://" + miniredis.RunT(t).Addr() + "/0", "KYCQ_S3_ENDPOINT=" + cfg.Endpoint, "KYCQ_S3_REGION=" + cfg.Region,
		"KYCQ_S3_INBOX_BUCKET=" + cfg.InboxBucket, "KYCQ_S3_MASKED_BUCKET=" + cfg.MaskedBucket, "KYCQ_S3_RECORDS_BUCKET=" + cfg.RecordsBucket,
		"KYCQ_KEYSET_FILE=" + filepath.Join(dir, "keyset.json"),
	}, dir
}

func TestEveryCommandKeepsTheContract(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true", "USER": "tester",
	} {
		t.Setenv(name, value) // read by the AWS SDK itself
	}
	environ, dir := surfaceStack(t)
	dead := append(slices.Clone(environ), "KYCQ_REDIS_URL=redis://127.0.0.1:1/0")
	batchID := ""
	for i, use := range surface {
		name := fmt.Sprintf("%02d %s", i, use.command)
		words := strings.Fields(use.command)
		for _, arg := range use.args {
			switch arg {
			case "BATCH":
				arg = batchID
			case "card.png", "people.csv", "card.jpg", "secret", "images", "man1", "api.keys":
				arg = filepath.Join(dir, arg)
			}
			words = append(words, arg)
		}
		words = append(words, "--json")
		t.Run(name, func(t *testing.T) {
			command, config := leaf(t, use.command), strings.HasPrefix(use.command, "config")
			if code, out, errs := run(t, environ, append(strings.Fields(use.command), "--help")...); code != cli.ExitOK || !strings.Contains(out, "Usage:") ||
				!strings.Contains(out, "Examples:") || errs != "" {
				t.Errorf("--help: exit code %d, %s%s", code, out, errs)
			}
			n := len(strings.Fields(use.command))
			code, out, _ := run(t, environ, slices.Concat(words[:n], []string{"--no-such-flag"}, words[n:])...)
			if p := theError(t, out); code != cli.ExitUsage || p.Code != "usage" || p.Field != "--no-such-flag" || p.NextAction == "" {
				t.Errorf("wrong flag: exit code %d, %+v", code, p)
			}
			if command.Flags().Lookup("redis-url") != nil && !config && use.command != "doctor" && use.exit != cli.ExitUsage && !readsRecord[use.command] {
				code, out, errs := run(t, dead, words...)
				if p := theError(t, out); code != cli.ExitUnreachable || p.Code != "unreachable" || p.NextAction == "" {
					t.Errorf("dead Redis: exit code %d, %+v, %s", code, p, errs)
				}
			}
			if use.exit < 0 {
				return
			}
			code, out, errs := run(t, environ, words...)
			if code != use.exit {
				t.Errorf("exit code %d, want %d: %s%s", code, use.exit, out, errs)
			}
			values := checkJSON(t, out)
			if use.command == "batch submit" && len(values) > 0 {
				batchID, _ = values[0].(map[string]any)["batch"].(string)
			}
			if use.command != "doctor" && use.exit != cli.ExitOK {
				theError(t, out)
			}
		})
	}
	t.Run("all commands are listed", func(t *testing.T) {
		var walk func(cmd *cobra.Command)
		walk = func(cmd *cobra.Command) {
			for _, child := range cmd.Commands() {
				walk(child)
			}
			path := strings.TrimPrefix(cmd.CommandPath(), "kycq ")
			if cmd.HasSubCommands() || strings.HasPrefix(path, "completion") || path == "help" {
				return
			}
			if !slices.ContainsFunc(surface, func(u struct {
				command string
				args    []string
				exit    int
			},
			) bool {
				return u.command == path
			}) {
				t.Errorf("%s is missing in the table", path)
			}
		}
		walk(newRoot(&cli.App{Name: "kycq"}))
	})
}

func leaf(t *testing.T, command string) *cobra.Command {
	t.Helper()
	cmd, rest, err := newRoot(&cli.App{Name: "kycq"}).Find(strings.Fields(command))
	if err != nil || len(rest) > 0 {
		t.Fatalf("%s: %v, %v", command, rest, err)
	}
	return cmd
}

type errorView struct {
	Code, Message, Field string
	NextAction           string `json:"next_action"`
}

// theError returns the last line of out, which must be an error.
func theError(t *testing.T, out string) errorView {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var view struct{ Error errorView }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &view); err != nil || view.Error.Code == "" || view.Error.Message == "" {
		t.Errorf("no error in JSON: %v\n%s", err, out)
	}
	return view.Error
}

var (
	snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	// data are objects whose keys are not names of kycq's; the keyset is Tink's.
	data = regexp.MustCompile(`\.(input|queues|concurrency|problems|codes|dead_letters|keys\.id)$|^\.(seal|fingerprint)\.`)
)

// checkJSON returns the JSON values of out: names in snake case, no null but hold, durations not in nanoseconds.
func checkJSON(t *testing.T, out string) (values []any) {
	t.Helper()
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case nil:
			if path != ".hold" && path != ".batches.hold" {
				t.Errorf("%s is null", path)
			}
		case []any:
			for _, item := range v {
				walk(path, item)
			}
		case float64:
			if v >= 1e9 && !data.MatchString(path) {
				t.Errorf("%s is %g: nanoseconds?", path, v)
			}
		case map[string]any:
			for key, item := range v {
				at := path + "." + key
				_, policy := v["Resource"] // of AWS
				if policy = policy || v["Statement"] != nil; !policy && !snakeCase.MatchString(key) && !data.MatchString(path) && !data.MatchString(at) {
					t.Errorf("%s is not in snake case", at)
				}
				walk(at, item)
			}
		}
	}
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return values
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, ok := v.(map[string]any); !ok {
			t.Errorf("the answer is not an object: %.80s", out)
			continue
		}
		values = append(values, v)
		walk("", v)
	}
}
