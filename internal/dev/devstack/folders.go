package devstack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// folders is the in-memory store of gofakes3 that also writes every object to the file bucket/key. It reads from memory
// only, so conditional writes work as in memory.
type folders struct {
	gofakes3.Backend
	root *os.Root // rejects keys that leave it with ..

	mu sync.Mutex // an object and its file change together
}

func openFolders(dir string) (*folders, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &folders{Backend: s3mem.New(), root: root}, nil
}

func (f *folders) Close() error { return f.root.Close() }

func (f *folders) PutObject(bucket, key string, meta map[string]string, input io.Reader, size int64, conditions *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	body, err := gofakes3.ReadAll(input, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	result, err := f.Backend.PutObject(bucket, key, meta, bytes.NewReader(body), size, conditions)
	if err != nil {
		return result, err
	}
	return result, f.write(bucket, key, body)
}

func (f *folders) CopyObject(fromBucket, fromKey, bucket, key string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	result, err := f.Backend.CopyObject(fromBucket, fromKey, bucket, key, meta)
	if err != nil {
		return result, err
	}
	object, err := f.GetObject(bucket, key, nil)
	if err != nil {
		return result, err
	}
	defer func() { _ = object.Contents.Close() }()
	body, err := gofakes3.ReadAll(object.Contents, object.Size)
	if err != nil {
		return result, err
	}
	return result, f.write(bucket, key, body)
}

func (f *folders) DeleteObject(bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	result, err := f.Backend.DeleteObject(bucket, key)
	if err != nil {
		return result, err
	}
	return result, f.remove(bucket, key)
}

func (f *folders) DeleteMulti(bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	result, err := f.Backend.DeleteMulti(bucket, keys...)
	errs := []error{err}
	for _, deleted := range result.Deleted {
		errs = append(errs, f.remove(bucket, deleted.Key))
	}
	return result, errors.Join(errs...)
}

func (f *folders) write(bucket, key string, body []byte) error {
	name := path.Join(bucket, key)
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fmt.Errorf("write the object's file: %w", err)
	}
	if err := f.root.WriteFile(name, body, 0o600); err != nil {
		return fmt.Errorf("write the object's file: %w", err)
	}
	return nil
}

func (f *folders) remove(bucket, key string) error {
	if err := f.root.Remove(path.Join(bucket, key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the object's file: %w", err)
	}
	return nil
}
