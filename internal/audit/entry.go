package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// entryVersion is the version of the entry's form.
const entryVersion = 1

// Entry is one line of the trail, as it stands in S3.
type Entry struct {
	Version int    `json:"version"`
	Writer  string `json:"writer"`
	// Seq numbers a writer's entries: 1, 2, 3, ... without a gap.
	Seq int64 `json:"seq"`
	// Prev is the SHA-256 (hex) of the bytes of the writer's entry before; empty in the first.
	Prev string `json:"prev"`
	// At is by the writer's clock, in UTC.
	At   time.Time `json:"at"`
	User string    `json:"user"`
	Host string    `json:"host"`

	Act

	// HeadLost says that the writer's head was gone when this entry was added, although entries stood there. Somebody
	// has removed it, and perhaps the last entries with it.
	HeadLost bool `json:"head_lost,omitempty"`
}

// Act is what an operator is about to do. Nothing in it may be personal data: ids, codes and words only. The one free
// text is Reason, which a person types; the command that asks for it says so.
type Act struct {
	// Action names the deed, for example "reveal", "erase", "job.retry", "fleet.resume".
	Action string `json:"action"`
	// Kind, VerificationID and Batch say what it is done to; empty where they do not apply.
	Kind           string `json:"kind,omitempty"`
	VerificationID string `json:"verification_id,omitempty"`
	Batch          string `json:"batch,omitempty"`
	// Reason is at most 500 characters on one line.
	Reason string `json:"reason,omitempty"`
	// Detail holds what else matters, as words of [A-Za-z0-9._:/+-], at most 20 of them.
	Detail map[string]string `json:"detail,omitempty"`
}

const (
	maxReason = 500
	maxDetail = 20
)

var (
	actionForm = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,63}$`)
	wordForm   = regexp.MustCompile(`^[A-Za-z0-9._:/+-]{1,200}$`)
)

// validate keeps what is not a word out of the trail, which nobody can take out again. Its errors do not quote it.
func (a Act) validate() error {
	if !actionForm.MatchString(a.Action) {
		return errors.New("the action must be a lower-case word")
	}
	for _, f := range []struct{ name, value string }{
		{"kind", a.Kind},
		{"verification_id", a.VerificationID},
		{"batch", a.Batch},
	} {
		if f.value != "" && !wordForm.MatchString(f.value) {
			return fmt.Errorf("%s is not a word of [A-Za-z0-9._:/+-]", f.name)
		}
	}
	if utf8.RuneCountInString(a.Reason) > maxReason {
		return fmt.Errorf("the reason is longer than %d characters", maxReason)
	}
	if !utf8.ValidString(a.Reason) || strings.ContainsFunc(a.Reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("the reason must be one line of printable text")
	}
	if len(a.Detail) > maxDetail {
		return fmt.Errorf("more than %d details", maxDetail)
	}
	for key, value := range a.Detail {
		if !actionForm.MatchString(key) || !wordForm.MatchString(value) {
			return errors.New("a detail is not a word of [A-Za-z0-9._:/+-]")
		}
	}
	return nil
}

// encode renders the entry as the one line whose hash the next entry carries.
func (e Entry) encode() ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return append(line, '\n'), nil
}

// decodeEntry accepts exactly the bytes that encode writes; others were put there by somebody else.
func decodeEntry(line []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, errors.New("not an entry of the trail")
	}
	if e.Version != entryVersion {
		return Entry{}, fmt.Errorf("entry version %d, this kycq knows %d", e.Version, entryVersion)
	}
	if again, err := e.encode(); err != nil || !bytes.Equal(again, line) {
		return Entry{}, errors.New("not written by kycq")
	}
	return e, nil
}

// hash is what a chain is made of.
func hash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}
