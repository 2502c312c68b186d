package main

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kycq/kycq/internal/dev/clitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kycq-dev": main})
}

// TestScripts runs the program in a process of its own. $USED_ADDR is an address that is in use.
func TestScripts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: files, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("USED_ADDR", l.Addr().String())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"refuses": clitest.Refuses, "waitfor": clitest.WaitFor,
		},
	})
}
