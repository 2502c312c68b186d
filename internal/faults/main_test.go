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

// sideBySide is how many scenarios run at once. They wait for leases and outages most of the time: the number of
// processors says nothing about them.
const sideBySide = "24"

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
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code = m.Run(); code != 0 {
		return code
	}
	// toxiproxy never ends a link that it has cut.
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

// binary is kycq as users get it. It is built
// once, by the first scenario that is not skipped; KYCQ_FAULTS_BINARY names one that is built already.
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

// soak skips a long scenario where only the short ones are asked for.
func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("KYCQ_SOAK") == "" {
		t.Skip("a long scenario: run make soak")
	}
}
