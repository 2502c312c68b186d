// Package outfile writes files that may hold personal data into folders that others may write to, too.
package outfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A File is written under a temporary name beside its own and appears when it is committed: whole, with mode 0600. It is never
// written through a link.
type File struct {
	*os.File
	folder     *os.Root
	name, temp string
}

// Create begins a file. It fails if there is something at path that is not a regular file.
func Create(path string) (*File, error) {
	folder, name, err := open(path)
	if err != nil {
		return nil, err
	}
	f := &File{folder: folder, name: name, temp: name + "." + rand.Text() + ".part"}
	if f.File, err = folder.OpenFile(f.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return f, nil
}

// Commit closes the file and gives it its name.
func (f *File) Commit() error {
	return errors.Join(f.Close(), f.folder.Rename(f.temp, f.name), f.folder.Close())
}

// Discard removes the file. It does nothing after Commit.
func (f *File) Discard() {
	_ = f.Close()
	_ = f.folder.Remove(f.temp)
	_ = f.folder.Close()
}

// Remove removes the file at path, if there is one. It fails if something else is there.
func Remove(path string) error {
	folder, name, err := open(path)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	if _, err := folder.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil // also on a file system that cannot be written to
	}
	return folder.Remove(name)
}

// open opens the folder of path, if there is a regular file or nothing at path.
func open(path string) (folder *os.Root, name string, err error) {
	if folder, err = os.OpenRoot(filepath.Dir(path)); err != nil {
		return nil, "", err
	}
	name = filepath.Base(path)
	info, err := folder.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return folder, name, nil
	case err == nil && info.Mode().IsRegular():
		return folder, name, nil
	case err == nil && info.Mode().Type() == fs.ModeSymlink:
		err = fmt.Errorf("%s is a link: give the path of the file itself, or remove the link", path)
	case err == nil:
		err = fmt.Errorf("%s is not a regular file", path)
	}
	return nil, "", errors.Join(err, folder.Close())
}
