// Package digits looks for a readable Aadhaar number in an image, with Tesseract: one process for each image, which gets the
// file on stdin. Nothing is written to disk, and what is read is neither returned nor logged.
package digits

import (
	"bytes"
	"context"
	_ "embed" // selftest.png
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	program = "tesseract"
	// timeout bounds one process. A card takes 1 s, a photo of 40 MP full of noise longer.
	timeout = time.Minute
	// maxText is the most that is read of one image; a page full of small print has 10 KB.
	maxText = 1 << 20
	// killWait is how long the pipes of a process that was killed may stay open: its children may have them.
	killWait = time.Second
)

var (
	// ErrUnread means that Tesseract did not read an image: it took too long, wrote too much, or failed. The next try would
	// end in the same way.
	ErrUnread = errors.New("the image could not be read")
	// ErrNoTesseract is returned by Open.
	ErrNoTesseract = errors.New("tesseract cannot be used")
)

// Install says how to get Tesseract.
const Install = "install it (Debian: tesseract-ocr), or use the image of the Docker target ocr"

// Reader runs Tesseract, at most one process for each CPU. It is safe for concurrent use.
type Reader struct {
	path    string
	timeout time.Duration
	slots   *semaphore.Weighted
	// Version is the first line of tesseract --version.
	Version string
}

// selfTest is an image of a number that is never issued.
//
//go:embed selftest.png
var selfTest []byte

// Open finds Tesseract on the PATH, and lets it read an image.
func Open(ctx context.Context) (*Reader, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not installed", ErrNoTesseract)
	}
	r := &Reader{path: path, timeout: timeout, slots: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0)))}
	version, err := r.run(ctx, nil, "--version")
	if err != nil {
		return nil, fmt.Errorf("%w: %s --version: %w", ErrNoTesseract, path, err)
	}
	line, _, _ := strings.Cut(string(version), "\n")
	r.Version = strings.TrimSpace(line)
	switch found, err := r.HasNumber(ctx, selfTest); {
	case err != nil:
		return nil, fmt.Errorf("%w: %s: self-test: %w", ErrNoTesseract, path, err)
	case !found:
		return nil, fmt.Errorf("%w: %s does not read the number of the self-test: its English data may be missing", ErrNoTesseract, path)
	}
	return r, nil
}

// HasNumber reports whether an Aadhaar number can be read in a JPEG or PNG file, upright or turned by a multiple of 90°. The
// error is ErrUnread, that of ctx, or that of the start of the process.
func (r *Reader) HasNumber(ctx context.Context, file []byte) (bool, error) {
	if err := r.slots.Acquire(ctx, 1); err != nil {
		return false, fmt.Errorf("digit check: wait for a CPU: %w", err)
	}
	defer r.slots.Release(1)
	// Mode 12 looks for text in any place, after a guess of the page's orientation.
	text, err := r.run(ctx, file, "-", "-", "--psm", "12")
	defer clear(text)
	if err != nil {
		return false, fmt.Errorf("digit check: %w", err)
	}
	return hasNumber(string(text)), nil
}

// run returns the output of one process.
func (r *Reader) run(parent context.Context, stdin []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(parent, r.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.path, args...) //nolint:gosec // the path of LookPath, and fixed arguments
	// No other variable: the settings of kycq include secrets.
	cmd.Env = append(slices.DeleteFunc(cmd.Environ(), func(v string) bool {
		return !strings.HasPrefix(v, "PATH=") && !strings.HasPrefix(v, "TESSDATA_PREFIX=")
	}), "OMP_THREAD_LIMIT=1")
	out := &limited{}
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = bytes.NewReader(stdin), out, killWait
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	err := cmd.Wait()
	switch {
	case parent.Err() != nil:
		return out.text, parent.Err()
	case ctx.Err() != nil:
		return out.text, fmt.Errorf("%w: %s was killed after %s", ErrUnread, program, r.timeout)
	case errors.Is(err, errTooMuch):
		return out.text, fmt.Errorf("%w: %w", ErrUnread, err)
	case cmd.ProcessState != nil && !cmd.ProcessState.Success(): // not its words, which may repeat what it has read
		return out.text, fmt.Errorf("%w: %s: %s", ErrUnread, program, cmd.ProcessState)
	}
	return out.text, nil // an error remains if it has not read all of its input
}

var errTooMuch = fmt.Errorf("%s wrote more than %d bytes", program, maxText)

// limited keeps what is written, up to maxText.
type limited struct{ text []byte }

func (l *limited) Write(p []byte) (int, error) {
	if len(l.text)+len(p) > maxText {
		return 0, errTooMuch
	}
	l.text = append(l.text, p...)
	return len(p), nil
}
