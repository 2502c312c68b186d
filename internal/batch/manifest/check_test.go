package manifest

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// heads is S3 with one image.
type heads struct{ body []byte }

func (h heads) ImageHead(_ context.Context, img tasks.Image, n int64) ([]byte, int64, error) {
	if img.Key != "there.png" {
		return nil, 0, storage.ErrNotFound
	}
	return h.body[:min(int(n), len(h.body))], int64(len(h.body)), nil
}

func specimenPNG(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 20))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAnImagePathNeverLeadsOutOfItsFolder(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	folder := filepath.Join(base, "cards")
	card := specimenPNG(t)
	for path, body := range map[string][]byte{"cards/a.png": card, "cards/sub/b.png": card, "secret.png": card, "cards/note.png": []byte("text")} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(base, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(base, path), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(base, "secret.png"), filepath.Join(folder, "link.png")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe.png"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	c := &Checker{Kind: tasks.Aadhaar, Keyset: seal.Insecure(), Folder: f, Heads: heads{card}}
	for place, want := range map[string]string{
		"a.png":                             "",
		"sub/b.png":                         "",
		"sub/../a.png":                      "",
		filepath.Join(folder, "a.png"):      "",
		"s3://bucket/there.png":             "",
		"":                                  "image_missing",
		"../secret.png":                     "image_outside_folder",
		"../../../../../../etc/passwd":      "image_outside_folder",
		"/etc/passwd":                       "image_outside_folder",
		filepath.Join(base, "secret.png"):   "image_outside_folder",
		"link.png":                          "image_outside_folder",
		"pipe.png":                          "image_not_a_file",
		"sub":                               "image_not_a_file",
		"missing.png":                       "image_not_found",
		"a.png/x":                           "image_not_found",
		strings.Repeat("x", 5000):           "image_not_found",
		"note.png":                          "image_type_invalid",
		"s3://bucket/gone.png":              "image_not_found",
		"s3://bucket":                       "image_place_invalid",
		"https://example.invalid/image.png": "image_place_invalid",
	} {
		row := &Row{Fields: []string{"ID1", place}, columns: columnsOf(tasks.Aadhaar, "verification_id", "image")}
		_, problem, err := c.Check(t.Context(), row)
		if err != nil {
			t.Errorf("%q: %v", place, err)
		}
		if got := codeOf(problem); got != want {
			t.Errorf("%q: got %q, want %q", place, got, want)
		}
	}
}

func codeOf(p *Problem) string {
	if p == nil {
		return ""
	}
	return p.Code
}

func columnsOf(kind tasks.Kind, names ...string) *Columns {
	c := newColumns(kind, nil)
	for _, n := range names {
		c.add(n)
	}

	return c
}

func TestADerivedIDDependsOnlyOnTheCheckedInput(t *testing.T) {
	t.Parallel()
	c := &Checker{Kind: tasks.Passport, Keyset: seal.Insecure()}
	id := func(c *Checker, names, cells []string) string {
		t.Helper()
		a, problem, err := c.Check(t.Context(), &Row{Fields: cells, columns: columnsOf(tasks.Passport, names...)})
		if problem != nil || err != nil {
			t.Fatalf("%v %v", problem, err)
		}
		return a.ID
	}
	first := id(c, []string{"file_number", "dob"}, []string{"ab12", "1990-01-31"})
	if again := id(c, []string{"note", "dob", "file_number", "name"}, []string{"x", "1990-01-31", " AB12 ", "SPECIMEN"}); again != first {
		t.Errorf("other columns in another order made %s of %s", again, first)
	}
	if tasks.ValidateID(first) != nil || len(first) != 32 {
		t.Errorf("%q is not a verification_id", first)
	}
	for _, other := range []string{
		id(c, []string{"file_number", "dob"}, []string{"ab13", "1990-01-31"}),
		id(c, []string{"file_number", "dob"}, []string{"ab12", "1990-01-30"}),
		id(&Checker{Kind: tasks.Passport, Keyset: seal.Insecure(), Label: "2027"}, []string{"file_number", "dob"}, []string{"ab12", "1990-01-31"}),
	} {
		if other == first {
			t.Error("another check has the same id")
		}
	}
	// The form is a contract: an id must not change with a new version of kycq.
	if first != "QSW6QP6QEPGBRKUCV36A5LJQIFMG2SF5" {
		t.Errorf("the derived id is now %s", first)
	}
}

func TestInvisibleCharactersAreNamed(t *testing.T) {
	t.Parallel()
	c := &Checker{Kind: tasks.Passport, Keyset: seal.Insecure()}
	for cells, want := range map[string]string{
		"A1|SPEC1|1990-01-31|Ren\u00e9e":        "",
		"A1|SPEC1|1990-01-31|\u00a0x\u00a0":     "",
		"A1\u200b|SPEC1|1990-01-31|x":           "verification_id_value_invalid",
		"A1|\u202eSPEC1|1990-01-31|x":           "file_number_value_invalid",
		"A1|SPEC1|\u200e1990-01-31|x":           "dob_value_invalid",
		"A1|SPEC1|1990-01-31|As\u200dha":        "name_value_invalid",
		"A1|SPEC1|1990-01-31|Asha\ufffd":        "name_value_invalid",
		"A1|SPEC1|1990-01-31|Asha|note\u200b":   "",
		"A1|SPEC1|1990-01-31|Asha\u2028Namoona": "name_value_invalid",
	} {
		columns := columnsOf(tasks.Passport, "verification_id", "file_number", "dob", "name", "note")
		_, problem, err := c.Check(t.Context(), &Row{Fields: strings.Split(cells, "|"), columns: columns})
		if err != nil || codeOf(problem) != want {
			t.Errorf("%q: got %q, want %q", cells, codeOf(problem), want)
		}
	}
}

func TestAPartKeepsItsRows(t *testing.T) {
	t.Parallel()
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	part := &Part{Number: 2, Sources: "s", Items: []Item{{Row: 2001, Line: 2002, ID: "A", Input: []byte(`{"passport":{"file_number":"A1","dob":"x"}}`), Fields: []string{"SPECIMEN", "<&>"}}}}
	body, err := part.Seal(keyset, tasks.Passport, "b-00000000")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte("SPECIMEN")) {
		t.Error("the part is readable")
	}
	got, err := OpenPart(body, keyset, tasks.Passport, "b-00000000", 2)
	if err != nil || got.Sources != "s" || len(got.Items) != 1 || got.Items[0].Fields[1] != "<&>" || got.Items[0].Row != 2001 {
		t.Errorf("%+v, %v", got, err)
	}
}
