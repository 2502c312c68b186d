package faults

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// process is a running program.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	name    string        // of a worker
	log     string        // the file of its output
	ended   chan struct{} // closed when it is dead
	endedAt time.Time     // valid once ended is closed
	stops   []time.Time   // when it was sent SIGSTOP
}

// launch starts a program whose output goes to a file in dir. The program is killed at the end of the test.
func launch(t testing.TB, dir, name string, env []string, stdin io.Reader, args ...string) *process {
	t.Helper()
	log, err := os.CreateTemp(dir, filepath.Base(name)+"-*.log")
	check(t, err)
	defer log.Close()
	p := &process{t: t, log: log.Name(), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(context.Background(), name, args...)
	p.cmd.Env, p.cmd.Stderr, p.cmd.Stdout, p.cmd.Stdin, p.cmd.SysProcAttr = env, log, log, stdin, killWithParent()
	check(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		p.endedAt = time.Now()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if s == syscall.SIGSTOP {
		p.stops = append(p.stops, time.Now())
	}
	if err := p.cmd.Process.Signal(s); err != nil && p.running() {
		p.t.Errorf("signal %v: %v", s, err)
	}
}

// kill sends SIGKILL and waits until the process is dead.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.ended
}

// terminate sends SIGTERM and waits until the process has exited.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	<-p.ended
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// killed reports whether SIGKILL ended the process.
func (p *process) killed() bool {
	if p.running() {
		return false
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// output is what the process has written so far.
func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	check(p.t, err)
	return string(text)
}
