// Package clitest provides commands for the test scripts of both binaries.
package clitest

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Exits runs a program and asserts its exit code: exits 3 kycq job wait ABC00123.
func Exits(ts *testscript.TestScript, _ bool, args []string) {
	if got := exitCodeOf(ts, args[1:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// Refuses runs a program and asserts its exit code, an empty stdout, and one line on stderr that matches:
// refuses 2 'dob must be' kycq enqueue passport ...
func Refuses(ts *testscript.TestScript, _ bool, args []string) {
	got := exitCodeOf(ts, args[2:])
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	switch {
	case strconv.Itoa(got) != args[0]:
		ts.Fatalf("exit code %d, want %s", got, args[0])
	case stdout != "":
		ts.Fatalf("stdout is not empty")
	case strings.Count(stderr, "\n") != 1:
		ts.Fatalf("stderr is not one line")
	case !regexp.MustCompile(args[1]).MatchString(stderr):
		ts.Fatalf("stderr does not match %s", args[1])
	}
}

func exitCodeOf(ts *testscript.TestScript, command []string) int {
	err := ts.Exec(command[0], command[1:]...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Check(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// WaitFor waits until a file exists.
func WaitFor(ts *testscript.TestScript, _ bool, args []string) {
	WaitUntil(ts, args[0]+" exists", func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}

// WaitUntil fails the script if the condition is not true within two minutes.
func WaitUntil(ts *testscript.TestScript, what string, is func() bool) {
	const patience = 2 * time.Minute
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	ts.Fatalf("%s: not within %s", what, patience)
}
