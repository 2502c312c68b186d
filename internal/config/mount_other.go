//go:build !linux

package config

func readOnlyMount(string) bool { return false }
