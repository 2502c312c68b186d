package faults

import "syscall"

// killWithParent has the system kill a child when the test process dies without cleaning up.
func killWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
