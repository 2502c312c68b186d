package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// parallelScenarios is how many scenarios run at once. Most of the time they wait for leases and outages; with many more, two
// busy cores do not answer a call within its timeout.
const parallelScenarios = "12"

var workspace string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	var err error
	if workspace, err = os.MkdirTemp("", "kycq-faults-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(workspace) }()
	if err := flag.Set("test.parallel", parallelScenarios); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code = m.Run(); code != 0 {
		return code
	}
	// toxiproxy does not end the goroutines of a link that it has cut.
	cut := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	}
	if err := goleak.Find(cut...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// binary builds kycq once, for the first scenario that is not skipped. KYCQ_FAULTS_BINARY names a program that is built
// already.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("KYCQ_FAULTS_BINARY"); path != "" {
		return path, nil
	}
	path := filepath.Join(workspace, "kycq")
	build := exec.CommandContext(context.Background(), "go", "build", "-buildvcs=false", "-o", path, "github.com/kycq/kycq/cmd/kycq")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kycq: %w\n%s", err, out)
	}
	return path, nil
})

// soak skips a long scenario unless KYCQ_SOAK is set.
func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("KYCQ_SOAK") == "" {
		t.Skip("long scenario: run make soak")
	}
}
