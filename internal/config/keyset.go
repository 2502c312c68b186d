package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/printable"
	"github.com/kycq/kycq/internal/redact"
)

const (
	keysetCommandTimeout = 30 * time.Second
	keysetCommandKill    = time.Second // how long its children may keep the pipes open after that
	maxKeyset            = 1 << 20
	maxKeysetError       = 64 << 10
	maxKeysetMessage     = 500 // of that is shown
)

// HasKeyset reports whether the settings name a keyset, or a command that prints it.
func (c *Config) HasKeyset() bool { return !c.Keyset.Empty() || !c.KeysetCommand.Empty() }

// ReadKeyset returns the keyset, which is empty if there is none. It runs KYCQ_KEYSET_COMMAND at most once: without a shell, and
// without kycq's own settings in its environment.
func (c *Config) ReadKeyset() (redact.Secret, error) {
	if c.KeysetCommand.Empty() {
		return c.Keyset, nil
	}
	c.keysetOnce.Do(func() { c.printed, c.printErr = c.runKeysetCommand(keysetCommandTimeout) })
	return c.printed, c.printErr
}

func (c *Config) runKeysetCommand(timeout time.Duration) (redact.Secret, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	words := strings.Fields(c.KeysetCommand.Reveal())
	out, stderr := capped{most: maxKeyset + 1}, capped{most: maxKeysetError}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // the operator's own command
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = append([]string{}, c.environ...), &out, &stderr, keysetCommandKill
	err := cmd.Run()
	text := strings.TrimSpace(out.text.String())
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("it took longer than %s", timeout)
	case err == nil && out.text.Len() > maxKeyset:
		err = errors.New("it printed more than 1 MiB")
	case err == nil && text == "":
		err = errors.New("it printed nothing")
	case err == nil:
		return redact.NewSecret(text), nil
	}
	problem := fmt.Sprintf("KYCQ_KEYSET_COMMAND (%s): %v", words[0], err)
	if said := strings.TrimSpace(stderr.text.String()); said != "" {
		said = keyLike.ReplaceAllString(said, "[secret]") // before it is cut: a part of a key may not look like one
		problem += ": " + printable.Text(said[:min(len(said), maxKeysetMessage)])
	}
	return redact.Secret{}, &Error{Problems: []string{problem + ": run the command by hand as this user; it must print the keyset on stdout"}}
}

// keyLike matches what may be a key, a token or a password that a program repeats in its messages.
var keyLike = regexp.MustCompile(`[A-Za-z0-9+/_=-]{20,}|(?i:(?:password|token|secret|key)["']?\s*[=:]\s*)\S+`)

// capped keeps the first bytes of what a program prints, and discards the others. It does not embed the buffer: io.Copy would
// use its ReadFrom, which has no limit.
type capped struct {
	text bytes.Buffer
	most int
}

func (c *capped) Write(p []byte) (int, error) {
	c.text.Write(p[:min(len(p), c.most-c.text.Len())])
	return len(p), nil
}

// checkKeysetCommand refuses a command from a configuration file that others than root may write.
func (l *loader) checkKeysetCommand(c *Config) {
	g := l.given["keyset_command"]
	if c.KeysetCommand.Empty() {
		return
	}
	if g.source == l.file {
		if err := onlyRootWrites(l.file); err != nil {
			l.problem("%s: %v: give the file and its folders to root, writable by no other user, or set KYCQ_KEYSET_COMMAND in the environment", g.spelling, err)
		}
	}
	if !c.Keyset.Empty() {
		l.problem("%s and %s are both set: keep one of them", l.given["keyset"].spelling, g.spelling)
	}
	c.environ = slices.DeleteFunc(slices.Clone(l.src.Environ), func(entry string) bool { return strings.HasPrefix(entry, envPrefix) })
}
