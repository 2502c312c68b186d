package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/testenv"
)

// serveWebhooks starts kycq serve with webhook endpoints, pairs of name and URL. The messages have the signatures of two secrets,
// which are lines of hooks.secret.
func (s *stack) serveWebhooks(endpoints ...string) *apiServer {
	s.t.Helper()
	var list, secrets strings.Builder
	for i := 0; i < len(endpoints); i += 2 {
		fmt.Fprintf(&list, "- { name: %s, url: %q, secret_file: hooks.secret, allow_private: true }\n", endpoints[i], endpoints[i+1])
	}
	for range 2 {
		out, _, _ := s.run(nil, "webhooks", "secret")
		secrets.WriteString(out)
	}
	for name, text := range map[string]string{"webhooks.yaml": list.String(), "hooks.secret": secrets.String()} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	a := s.with("KYCQ_LISTEN=127.0.0.1:0", "KYCQ_WEBHOOKS_FILE="+filepath.Join(s.dir, "webhooks.yaml")).serveAPI()
	eventually(s.t, func() bool { return strings.Contains(a.process.read(s.t), "webhook endpoints read") })
	return a
}

// TestExampleClients runs each program of examples/clients. All must print the same.
func TestExampleClients(t *testing.T) {
	t.Parallel()
	if os.Getenv("KYCQ_TEST_TOOLS") == "" {
		t.Skip("SKIPPED for lack of curl, jq, python3 and tsx: run make test-deploy")
	}
	const clients = "../../examples/clients/"
	python, typescript := testenv.FreeAddress(t), testenv.FreeAddress(t)
	s := newStack(t)
	api := s.serveWebhooks("python", "http://"+python, "typescript", "http://"+typescript)
	secrets, err := os.ReadFile(filepath.Join(s.dir, "hooks.secret"))
	if err != nil {
		t.Fatal(err)
	}
	s = s.with("API_URL="+api.url, "API_TOKEN="+api.token, "KYCQ_WEBHOOKS_FILE="+filepath.Join(s.dir, "webhooks.yaml"),
		"WEBHOOK_SECRET="+strings.Fields(string(secrets))[1]) // the older one
	s.start("worker")
	card := filepath.Join(s.dir, "card.jpg")
	if err := os.WriteFile(card, cardJPEG(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, program, client, receiver, address string }{
		{name: "curl", program: "bash", client: "kycq.sh"},
		{"python", "python3", "kycq.py", "webhook.py", python},
		{"typescript", "tsx", "kycq.mts", "webhook.mts", typescript},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := findProgram(t, c.program)
			if c.name == "curl" {
				findProgram(t, "curl")
				findProgram(t, "jq")
			}
			var received *process
			if c.receiver != "" {
				received = s.receive(t, c.name, c.address, program, clients+c.receiver)
			}
			masked := filepath.Join(s.dir, c.name+".jpg")
			cmd := exec.CommandContext(t.Context(), program, clients+c.client, c.name, card, masked)
			var stderr bytes.Buffer
			cmd.Env, cmd.Stderr = s.env, &stderr
			out, err := cmd.Output()
			image, _ := os.ReadFile(masked)
			want := fmt.Sprintf("problem 422 invalid_input\n  /dob dob_value_invalid\npassport valid, name: yes\naadhaar valid\nmasked image: %d bytes\n", len(image))
			if err != nil || string(out) != want || !bytes.HasPrefix(image, []byte("\xff\xd8")) {
				t.Fatalf("%v\n%s%s", err, out, stderr.String())
			}
			if received != nil {
				eventually(t, func() bool { return strings.Count(received.read(t), "job.finished valid") >= 2 })
			}
		})
	}
}

// findProgram returns the path of a program, which scripts/tools.sh may have installed.
func findProgram(t *testing.T, name string) string {
	t.Helper()
	if name == "tsx" {
		return testenv.Tool(t, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED for lack of %s: install it", name)
	}
	return path
}

// receive starts a receiver of webhooks, which must take signed messages and refuse others.
func (s *stack) receive(t *testing.T, endpoint, address, program, file string) *process {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	p := s.startProgram(program, file, port)
	eventually(t, func() bool {
		_, _, code := s.run(nil, "webhooks", "test", endpoint)
		return code == 0
	})
	resp, err := http.Post("http://"+address, "application/json", strings.NewReader(`{"type":"webhook.test","data":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || strings.Count(p.read(t), "webhook.test") != 1 {
		t.Errorf("a message without a signature: %d\n%s", resp.StatusCode, p.read(t))
	}
	return p
}
