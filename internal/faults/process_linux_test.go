package faults

import "syscall"

// ownChild ends a child together with a test process that was killed itself, and so cleans nothing up.
func ownChild() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
