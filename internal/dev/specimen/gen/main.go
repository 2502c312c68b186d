// Command gen writes the files of examples/: specimen cards and the manifests that list them. Its output is reproducible.
//
//	go run ./internal/dev/specimen/gen examples
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: gen FOLDER")
	}
	files := cards()
	files = append(files, file{"aadhaar.csv", aadhaarCSV(files)}, file{"passports.csv", passportsCSV()})
	for _, f := range files {
		path := filepath.Join(args[0], filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil { //nolint:gosec // a development tool
			return err
		}
		if err := os.WriteFile(path, f.data, 0o644); err != nil { //nolint:gosec // examples are public
			return err
		}
	}
	return nil
}

// A file's name is relative to the folder, with slashes.
type file struct {
	name string
	data []byte
}
