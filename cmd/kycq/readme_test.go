package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

const (
	settingsBegin = "<!-- settings: made by `kycq config print --markdown`, held by a test -->\n"
	settingsEnd   = "<!-- /settings -->"
)

func TestTheReadmesTableOfSettingsIsTheCodes(t *testing.T) {
	t.Parallel()
	var out, stderr bytes.Buffer
	if code := program().Run(t.Context(), []string{"config", "print", "--markdown"}, strings.NewReader(""), &out, &stderr, nil); code != 0 {
		t.Fatal(stderr.String())
	}
	const path = "../../README.md"
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(readme), settingsBegin)
	table, tail, ok2 := strings.Cut(rest, settingsEnd)
	if !ok || !ok2 {
		t.Fatal("the README lost the marks of its table")
	}
	if table == out.String() {
		return
	}
	if os.Getenv("UPDATE_GOLDEN") == "" {
		t.Fatal("the README's table is not the code's: UPDATE_GOLDEN=1 go test ./cmd/kycq -run Readme")
	}
	if err := os.WriteFile(path, []byte(head+settingsBegin+out.String()+settingsEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
