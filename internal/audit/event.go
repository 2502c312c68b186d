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

// eventVersion is the version of the JSON form.
const eventVersion = 1

// Event is an object of the trail: one line of JSON.
type Event struct {
	Version int    `json:"version"`
	Writer  string `json:"writer"`
	// Seq counts a writer's events from 1, without gaps.
	Seq int64 `json:"seq"`
	// Prev is the SHA-256 (hex) of the writer's previous event; empty in the first.
	Prev string `json:"prev"`
	// At is the time of the writer's clock, in UTC.
	At   time.Time `json:"at"`
	User string    `json:"user"`
	Host string    `json:"host"`

	Act

	// HeadLost says that the writer had events but no head when this one was added: the head was removed, and perhaps the
	// last events with it.
	HeadLost bool `json:"head_lost,omitempty"`
	// MAC covers the event without this field; empty if the writer had no keyset.
	MAC string `json:"mac,omitempty"`
}

// MAC returns the message authentication code of a text, in hex. It must be the same in every process of the installation.
type MAC func(text []byte) string

// signed returns the event with its MAC.
func (e Event) signed(mac MAC) (Event, error) {
	e.MAC = ""
	line, err := e.Line()
	if err == nil {
		e.MAC = mac(append([]byte("event\n"), line...))
	}
	return e, err
}

// Act is what an operator is about to do. It must not contain personal data; Reason is the only free text.
type Act struct {
	// Action is for example "reveal", "erase", "job.retry" or "fleet.resume".
	Action string `json:"action"`
	// Kind, VerificationID and Batch name the object of the action; any may be empty.
	Kind           string `json:"kind,omitempty"`
	VerificationID string `json:"verification_id,omitempty"`
	Batch          string `json:"batch,omitempty"`
	// Reason is at most 500 characters on one line.
	Reason string `json:"reason,omitempty"`
	// Detail has at most 20 further words of [A-Za-z0-9._:/+-].
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

// validate refuses what could be personal data, since the trail is never changed. Its errors do not quote values.
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
	if err := CheckReason(a.Reason); err != nil {
		return err
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

// CheckReason validates the reason of an Act. It accepts none.
func CheckReason(text string) error {
	if utf8.RuneCountInString(text) > maxReason {
		return fmt.Errorf("the reason is longer than %d characters", maxReason)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("the reason must be one line of printable text")
	}
	return nil
}

// Line returns the event as it is stored: the line whose hash the next event contains.
func (e Event) Line() ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return append(line, '\n'), nil
}

// decodeEvent accepts only what encode returns.
func decodeEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, errors.New("not an event of the trail")
	}
	if e.Version != eventVersion {
		return Event{}, fmt.Errorf("event version %d, supported is %d", e.Version, eventVersion)
	}
	if again, err := e.Line(); err != nil || !bytes.Equal(again, line) {
		return Event{}, errors.New("not written by kycq")
	}
	return e, nil
}

func hash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}
