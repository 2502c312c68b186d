package digits

import (
	"context"
	"errors"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/internal/dev/specimen/distort"
)

// fake returns a Reader of a shell script, and the folder that it runs in. Tests that call it are not parallel: a script cannot
// be started while another process, forked at the moment that it was written, has it open.
func fake(t *testing.T, script string) (r *Reader, folder string) {
	t.Helper()
	folder = t.TempDir()
	path := filepath.Join(folder, program)
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncd "+folder+"\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Reader{path: path, timeout: timeout, slots: semaphore.NewWeighted(1)}, folder
}

func TestTheImageGoesToOneProcessWithoutOtherSettings(t *testing.T) {
	t.Setenv("KYCQ_CASHFREE_CLIENT_SECRET", "SPECIMEN-SECRET")
	r, folder := fake(t, `echo "$@" >args; env >env; cat >image; echo run >>runs; echo "`+specimen.NewPerson(7).Grouped()+`"`)
	found, err := r.HasNumber(t.Context(), []byte("the image"))
	if err != nil || !found {
		t.Fatalf("%v, %v", found, err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if read("image") != "the image" || read("runs") != "run\n" || read("args") != "- - --psm 12\n" {
		t.Errorf("image %q, runs %q, arguments %q", read("image"), read("runs"), read("args"))
	}
	if env := read("env"); strings.Contains(env, "KYCQ") || !strings.Contains(env, "OMP_THREAD_LIMIT=1\n") {
		t.Errorf("environment %q", env)
	}
}

func TestWhatAProcessMayDo(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   bool
		err    error
	}{
		"nothing read":         {`cat >/dev/null`, false, nil},
		"garbage":              {`cat >/dev/null; printf '\377\000\n\f 12 \001'`, false, nil},
		"it reads no input":    {`echo 0`, false, nil},
		"it fails":             {`echo "` + specimen.NewPerson(7).Number + `" >&2; exit 1`, false, ErrUnread},
		"it crashes":           {`kill -SEGV $$`, false, ErrUnread},
		"it writes on and on":  {`exec yes 1`, false, ErrUnread},
		"it is not a program":  {`exec /nowhere`, false, ErrUnread},
		"a number and a crash": {`echo "` + specimen.NewPerson(7).Number + `"; exit 1`, false, ErrUnread},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := fake(t, c.script)
			found, err := r.HasNumber(t.Context(), make([]byte, 1<<20))
			if found != c.want || !errors.Is(err, c.err) {
				t.Errorf("%v, %v; want %v, %v", found, err, c.want, c.err)
			}
			if err != nil && strings.Contains(err.Error(), specimen.NewPerson(7).Number) {
				t.Errorf("the error says what was read: %v", err)
			}
		})
	}
}

// hang writes its process id and waits.
const hang = `echo $$ >pid.part; mv pid.part pid; exec sleep 1000`

func TestAProcessThatHangsIsKilled(t *testing.T) {
	r, folder := fake(t, hang)
	r.timeout = 200 * time.Millisecond
	if _, err := r.HasNumber(t.Context(), nil); !errors.Is(err, ErrUnread) {
		t.Errorf("time is up: %v", err)
	}
	if pid, err := os.ReadFile(filepath.Join(folder, "pid")); err == nil {
		if exec.Command("kill", "-0", strings.TrimSpace(string(pid))).Run() == nil {
			t.Errorf("process %s is still there", pid)
		}
	}
	r, folder = fake(t, hang)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(folder, "pid")); err == nil {
				cancel()
				return
			}
		}
	}()
	if _, err := r.HasNumber(ctx, nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnread) {
		t.Errorf("a shutdown: %v", err)
	}
}

func TestOpenNeedsATesseractThatReads(t *testing.T) {
	number := specimen.NewPerson(7).Number
	for name, c := range map[string]struct {
		script string
		want   bool
	}{
		"it reads":         {`[ "$1" = --version ] && echo tesseract 9.9.9 && exit; cat >/dev/null; echo ` + number, true},
		"it reads nothing": {`[ "$1" = --version ] && echo tesseract 9.9.9 && exit; cat >/dev/null`, false},
		"it lacks data":    {`[ "$1" = --version ] && echo tesseract 9.9.9 && exit; cat >/dev/null; exit 1`, false},
		"another program":  {`exit 1`, false},
	} {
		_, folder := fake(t, c.script)
		t.Setenv("PATH", folder+":/usr/bin:/bin")
		r, err := Open(t.Context())
		if (err == nil) != c.want || err != nil && !errors.Is(err, ErrNoTesseract) || c.want && r.Version != "tesseract 9.9.9" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(t.Context()); !errors.Is(err, ErrNoTesseract) {
		t.Errorf("not installed: %v", err)
	}
}

// TestTesseractReadsCards uses the real program. CI need not have it.
func TestTesseractReadsCards(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip("NOT TESTED with the real Tesseract: install tesseract-ocr")
	}
	r, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plain := specimen.Draw(specimen.Card{Layout: specimen.Short, Person: specimen.NewPerson(1001)})
	masked, _ := specimen.Mask(plain)
	for name, c := range map[string]struct {
		img  image.Image
		want bool
	}{"on its side": {distort.Turn(plain, 90), true}, "masked": {masked, false}} {
		if found, err := r.HasNumber(t.Context(), distort.JPEG(c.img, 85)); err != nil || found != c.want {
			t.Errorf("%s: %v, %v; want %v", name, found, err, c.want)
		}
	}
}
