//go:build !linux

package faults

import "syscall"

func killWithParent() *syscall.SysProcAttr { return nil }
