package main

import (
	"bytes"
	"encoding/csv"
	"image"
	"image/color"
	_ "image/jpeg"
	_ "image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen"
)

const examples = "../../../../examples"

func TestGeneratingAgainGivesTheSameExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := run([]string{dir}); err != nil {
		t.Fatal(err)
	}
	made, total := 0, int64(0)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fresh, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		kept, err := os.ReadFile(filepath.Join(examples, name))
		if err != nil {
			t.Errorf("%s is not in examples/: run go generate ./internal/dev/specimen", name)
			return nil
		}
		made++
		total += int64(len(kept))
		if !bytes.Equal(fresh, kept) && !samePicture(fresh, kept) {
			t.Errorf("%s differs: run go generate ./internal/dev/specimen", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if made != 26 || total > 3<<20 {
		t.Errorf("%d files of %d bytes, want 26 of at most 3 MiB", made, total)
	}
}

// samePicture allows what other machines' floating point and other releases' compressors change: bytes, and a shade of
// single pixels.
func samePicture(a, b []byte) bool {
	left, _, err := image.Decode(bytes.NewReader(a))
	if err != nil {
		return false
	}
	right, _, err := image.Decode(bytes.NewReader(b))
	if err != nil || left.Bounds() != right.Bounds() {
		return false
	}
	off, pixels := 0, 0
	for y := left.Bounds().Min.Y; y < left.Bounds().Max.Y; y++ {
		for x := left.Bounds().Min.X; x < left.Bounds().Max.X; x++ {
			p, _ := color.GrayModel.Convert(left.At(x, y)).(color.Gray)
			q, _ := color.GrayModel.Convert(right.At(x, y)).(color.Gray)
			pixels++
			if d := int(p.Y) - int(q.Y); d < -12 || d > 12 {
				off++
			}
		}
	}
	return off*1000 <= pixels
}

func TestTheManifestNamesEveryCardOnce(t *testing.T) {
	t.Parallel()
	rows := readCSV(t, "aadhaar.csv", "verification_id,image")
	if len(rows) != 24 {
		t.Errorf("%d rows, want 24", len(rows))
	}
	seen := make(map[string]bool)
	for _, row := range rows {
		if seen[row[0]] || seen[row[1]] {
			t.Errorf("%v: named twice", row)
		}
		seen[row[0]], seen[row[1]] = true, true
		if _, err := os.Stat(filepath.Join(examples, filepath.FromSlash(row[1]))); err != nil {
			t.Error(err)
		}
	}
}

func TestTheSimulatorMasksAllButTheLastTwo(t *testing.T) {
	t.Parallel()
	for i, row := range readCSV(t, "aadhaar.csv", "verification_id,image") {
		if i%5 != 0 && i < 22 { // `make demo` masks them all
			continue
		}
		t.Run(row[0], func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join(examples, filepath.FromSlash(row[1])))
			if err != nil {
				t.Fatal(err)
			}
			img, _, err := image.Decode(bytes.NewReader(data))
			if pdf := strings.HasSuffix(row[1], ".pdf"); (err != nil) != pdf || pdf {
				if !pdf {
					t.Error(err)
				}
				return
			}
			_, ok := specimen.Mask(img)
			if want := i < 22; ok != want {
				t.Errorf("masked: %v, want %v", ok, want)
			}
		})
	}
}

func TestPassportsShowEveryRuleOfTheSimulator(t *testing.T) {
	t.Parallel()
	rows := readCSV(t, "passports.csv", "verification_id,file_number,dob,name")
	if len(rows) != 40 {
		t.Fatalf("%d rows, want 40", len(rows))
	}
	count := make(map[string]int)
	for _, row := range rows[:34] {
		count[row[1][len(row[1])-4:]]++
		if len(row[1]) != 15 || len(row[2]) != len("2006-01-02") || !strings.HasSuffix(row[3], " SPECIMEN") {
			t.Errorf("%v is not well-formed", row)
		}
	}
	if count["0000"] != 4 || count["0001"] != 2 || count["0002"] != 2 {
		t.Errorf("%d INVALID, %d other names, %d other dates; want 4, 2, 2", count["0000"], count["0001"], count["0002"])
	}
}

// readCSV checks the head and gives the rows under it.
func readCSV(t *testing.T, name, head string) [][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rows[0], ","); got != head {
		t.Fatalf("%s begins with %q, want %q", name, got, head)
	}
	return rows[1:]
}
