package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kycq/kycq/tasks"
)

var outside = &Problem{Code: "image_outside_folder", Message: "the image's path leads out of the folder of the images"}

// Folder is the folder of a manifest's images. Paths and symbolic links that lead out of it are refused, because a manifest
// must not send other files of this machine to the vendor.
type Folder struct {
	root *os.Root
	path string
}

// OpenFolder opens a folder. The caller closes it.
func OpenFolder(path string) (*Folder, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the images: %w", err)
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the images: %w", err)
	}
	return &Folder{root: root, path: absolute}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Open opens an image. It returns a Problem if the row is wrong, and an error if the file system failed.
func (f *Folder) Open(name string) (*os.File, *Problem, error) {
	name = f.relative(name)
	if strings.IndexByte(name, 0) >= 0 || !filepath.IsLocal(name) {
		return nil, outside, nil
	}
	info, err := f.root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, &Problem{Code: "image_not_a_file", Message: "the image is not a regular file"}, nil // opening a pipe would block
	}
	var file *os.File
	if err == nil {
		file, err = f.root.Open(name)
	}
	switch {
	case err == nil:
		return file, nil, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return nil, &Problem{Code: "image_not_found", Message: "there is no such image in the folder (--images sets another folder)"}, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, &Problem{Code: "image_not_readable", Message: "the image may not be read by this user"}, nil
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EIO):
		return nil, nil, fmt.Errorf("open an image: %w", errno(err))
	}
	return nil, outside, nil // os.Root has no error value for a symbolic link that leads out
}

// Stat returns size and modification time (Unix nanoseconds) of an image, or zeros if it is not in the folder.
func (f *Folder) Stat(name string) (size, modified int64) {
	info, err := f.root.Stat(f.relative(name))
	if err != nil {
		return 0, 0
	}
	return info.Size(), info.ModTime().UnixNano()
}

// relative returns an absolute path as a path relative to the folder.
func (f *Folder) relative(name string) string {
	if inside, err := filepath.Rel(f.path, name); err == nil && filepath.IsAbs(name) {
		return inside
	}
	return name
}

// errno removes the path, which may contain a name, from an error.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return errors.New("the file cannot be read")
}

// checkImage checks an image as UploadImage will.
func checkImage(file *os.File) (*Problem, error) {
	_, _, err := tasks.ValidateImageFile(file)
	var invalid *tasks.InvalidError
	switch {
	case errors.As(err, &invalid):
		return problemOf(invalid), nil
	case err != nil:
		return nil, fmt.Errorf("read an image: %w", errno(err))
	}
	return nil, nil
}

func problemOf(invalid *tasks.InvalidError) *Problem {
	return &Problem{Code: invalid.Code, Message: invalid.Field + " " + invalid.Message}
}
