//go:build unix

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// onlyRootWrites returns an error if others than root can change a file, or replace it or a folder above it.
func onlyRootWrites(path string) error {
	given, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(given)
	if err != nil {
		return err
	}
	for _, path := range []string{given, real} { // links can be replaced, too
		for ; ; path = filepath.Dir(path) {
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			const othersWrite = 0o022
			owner, ok := info.Sys().(*syscall.Stat_t)
			if !ok || owner.Uid != 0 || info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&othersWrite != 0 {
				return fmt.Errorf("others than root can change %s", path)
			}
			if path == filepath.Dir(path) {
				break
			}
		}
	}
	return nil
}
