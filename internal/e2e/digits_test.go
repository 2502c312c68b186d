package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/storage"
)

// tesseract puts a program on the PATH that reads the same text in every image.
func (s *stack) tesseract(text string) *stack {
	s.t.Helper()
	dir := s.t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("#!/bin/sh\necho '"+text+"'\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	// Another process copies it: a script cannot be started while a child of this one has it open.
	if out, err := exec.Command("install", "-m", "0755", source, filepath.Join(dir, "tesseract")).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return s.with("PATH="+dir+":"+s.setting("PATH"), "KYCQ_DIGIT_CHECK=require")
}

func TestAReadableNumberGoesToQuarantine(t *testing.T) {
	t.Parallel()
	s := newStack(t).tesseract(specimen.NewPerson(7).Grouped())
	s.enqueueAadhaar("A")
	s.start("worker")
	rec := s.wait("aadhaar", "A")
	if rec.State != storage.StateFailed || rec.Code != "unsafe_mask" || rec.Review != "readable_number" || rec.DigitCheck != storage.DigitCheckDone {
		t.Errorf("the record says %s %s, review %s, digit check %s", rec.State, rec.Code, rec.Review, rec.DigitCheck)
	}
	if out, _, _ := s.run(nil, "review", "list"); !strings.Contains(out, "readable_number") {
		t.Errorf("review list:\n%s", out)
	}
}

func TestAWorkerThatMustReadDigitsDoesNotStartWithoutTesseract(t *testing.T) {
	t.Parallel()
	s := newStack(t).with("PATH="+t.TempDir(), "KYCQ_DIGIT_CHECK=require")
	if _, stderr, code := s.run(nil, "worker"); code != 2 || !strings.Contains(stderr, "tesseract-ocr") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
