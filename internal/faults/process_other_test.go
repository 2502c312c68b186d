//go:build !linux

package faults

import "syscall"

func ownChild() *syscall.SysProcAttr { return nil }
