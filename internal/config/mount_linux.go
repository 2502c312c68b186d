package config

import "syscall"

// readOnlyMount reports whether the file system of path is mounted read-only.
func readOnlyMount(path string) bool {
	const readOnly = 1 // ST_RDONLY
	var fs syscall.Statfs_t
	return syscall.Statfs(path, &fs) == nil && fs.Flags&readOnly != 0
}
