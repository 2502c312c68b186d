package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// exposure says whether other users of this machine can read the file of a secret.
type exposure int

const (
	private exposure = iota
	mounted          // others could, but it is where containers get their secrets
	exposed
)

var onReadOnlyMount = readOnlyMount // tests replace it

// exposureOf looks at the mode of the file and of the folders above it: one that others cannot enter keeps them out. It is
// private if its mode cannot be read, since reading the file then gives the better error.
func exposureOf(path string) exposure {
	const othersRead, othersEnter = 0o004, 0o001
	if runtime.GOOS == "windows" {
		return private
	}
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return private
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&othersRead == 0 {
		return private
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&othersEnter == 0 {
			return private
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if strings.HasPrefix(path, "/run/secrets/") || onReadOnlyMount(path) {
		return mounted
	}
	return exposed
}
