package outfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, body string) error {
	t.Helper()
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.WriteString(body); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); body == "new" && err == nil {
		t.Error("the file exists before it is complete")
	}
	return f.Commit()
}

func read(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAFileAppearsWholeAndForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.csv")
	if err := write(t, path, "new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil { // as another program may leave it
		t.Fatal(err)
	}
	if err := write(t, path, "newer"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || read(t, path) != "newer" {
		t.Errorf("%v, %v, %q", info.Mode(), err, read(t, path))
	}
	left, err := filepath.Glob(path + "*")
	if err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %q, %v", left, err)
	}
	if err := Remove(path); err != nil {
		t.Error(err)
	}
	if err := Remove(path); err != nil {
		t.Errorf("remove what does not exist: %v", err)
	}
}

func TestNothingIsWrittenThroughALink(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "authorized_keys")
	if err := os.WriteFile(elsewhere, []byte("of the operator"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rejects.csv")
	for name, target := range map[string]string{"file": elsewhere, "missing file": elsewhere + ".new", "folder": filepath.Dir(elsewhere)} {
		_ = os.Remove(path)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if err := write(t, path, "newer"); err == nil || !strings.Contains(err.Error(), "is a link") {
			t.Errorf("link to a %s: %v", name, err)
		}
		if err := Remove(path); err == nil {
			t.Errorf("a link to a %s was removed", name)
		}
	}
	if got := read(t, elsewhere); got != "of the operator" {
		t.Errorf("overwritten with %q", got)
	}
	if err := write(t, dir, "newer"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if err := write(t, filepath.Join(dir, "missing", "report.csv"), "newer"); err == nil {
		t.Error("no error without the folder")
	}
}

func TestADiscardedFileLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "report.csv"))
	if err != nil {
		t.Fatal(err)
	}
	f.Discard()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
