package audit_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/internal/audit"
)

func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	sum := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	for name, tc := range map[string]struct {
		tamper func(m *memory)
		want   []string
	}{
		"nothing":               {func(*memory) {}, nil},
		"first removed":         {func(m *memory) { m.remove(key(1)) }, []string{"missing 1"}},
		"one removed":           {func(m *memory) { m.remove(key(3)) }, []string{"missing 3"}},
		"three removed":         {func(m *memory) { m.remove(key(2), key(3), key(4)) }, []string{"missing 2"}},
		"tail removed":          {func(m *memory) { m.remove(key(5)) }, []string{"missing 5"}},
		"two of the tail":       {func(m *memory) { m.remove(key(4), key(5)) }, []string{"missing 4"}},
		"all but the head":      {func(m *memory) { m.remove(key(1), key(2), key(3), key(4), key(5)) }, []string{"missing 1"}},
		"head removed":          {func(m *memory) { m.remove(headKey) }, []string{"head_lost 0"}},
		"tail and head removed": {func(m *memory) { m.remove(key(5), headKey) }, []string{"head_lost 0"}},
		"head overwritten":      {func(m *memory) { m.set(headKey, "{") }, []string{"head_wrong 0"}},
		"one changed":           {func(m *memory) { m.set(key(3), strings.Replace(m.text(key(3)), "bank", "bonk", 1)) }, []string{"changed 3"}},
		"last changed":          {func(m *memory) { m.set(key(5), strings.Replace(m.text(key(5)), "bank", "bonk", 1)) }, []string{"changed 5"}},
		"user changed":          {func(m *memory) { m.set(key(1), strings.Replace(m.text(key(1)), `"user":"anil"`, `"user":"mala"`, 1)) }, []string{"changed 1"}},
		"reformatted":           {func(m *memory) { m.set(key(3), m.text(key(3))+"\n") }, []string{"malformed 3", "changed 3"}},
		"unknown field":         {func(m *memory) { m.set(key(5), strings.Replace(m.text(key(5)), "{", `{"x":1,`, 1)) }, []string{"changed 5", "malformed 5"}},
		"emptied":               {func(m *memory) { m.set(key(3), "") }, []string{"malformed 3", "changed 3"}},
		"later version":         {func(m *memory) { m.set(key(5), strings.Replace(m.text(key(5)), `"version":1`, `"version":2`, 1)) }, []string{"changed 5", "malformed 5"}},
		"copied to the end":     {func(m *memory) { m.set(key(6), m.text(key(5))) }, []string{"malformed 6"}},
		"two exchanged":         {func(m *memory) { a, b := m.text(key(2)), m.text(key(3)); m.set(key(2), b); m.set(key(3), a) }, []string{"malformed 2", "malformed 3", "changed 3"}},
		"made up at the end":    {func(m *memory) { m.set(key(6), strings.ReplaceAll(m.text(key(5)), `"seq":5`, `"seq":6`)) }, []string{"changed 5"}},
		"set back":              {func(m *memory) { m.remove(key(5)); m.set(headKey, `{"seq":4,"hash":"`+sum("x")+`"}`) }, []string{"changed 4"}},
		"strange key":           {func(m *memory) { m.set("audit/anil_ops1/6.json", "{}") }, []string{"foreign 0"}},
		"strange file":          {func(m *memory) { m.set("audit/notes", "{}") }, []string{"foreign 0"}},
		"rewritten with its tail": {func(m *memory) { // entry 4 changed, 5 made to fit, but not the head
			m.set(key(4), strings.Replace(m.text(key(4)), "bank", "bonk", 1))
			five := m.text(key(5))
			at := strings.Index(five, `"prev":"`) + len(`"prev":"`)
			m.set(key(5), five[:at]+sum(m.text(key(4)))+five[at+64:])
		}, []string{"changed 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			appendN(t, newTrail(t, m, "anil", nil), 5)
			appendN(t, newTrail(t, m, "zoya", nil), 2)
			tc.tamper(m)
			if diff := cmp.Diff(tc.want, codes(t, m)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALossIsStillFoundAfterFurtherEntries(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tamper func(m *memory)
		want   []string
	}{
		"tail removed":          {func(m *memory) { m.remove(key(3)) }, []string{"missing 3"}},
		"tail changed":          {func(m *memory) { m.set(key(3), strings.Replace(m.text(key(3)), "bank", "bonk", 1)) }, []string{"changed 3"}},
		"tail and head removed": {func(m *memory) { m.remove(key(3), headKey) }, []string{"head_lost 3"}},
		"everything but one":    {func(m *memory) { m.remove(key(2), key(3), headKey) }, []string{"head_lost 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			trail := newTrail(t, m, "anil", nil)
			appendN(t, trail, 3)
			tc.tamper(m)
			appendN(t, trail, 3)
			if diff := cmp.Diff(tc.want, codes(t, m)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALostHeadIsStillFoundIfTheProcessThatReplacedItWasKilled(t *testing.T) {
	t.Parallel()
	m := newMemory()
	trail := newTrail(t, m, "anil", nil)
	appendN(t, trail, 3)
	m.remove(key(3), headKey)
	m.before = func(op, k string) error {
		if op == "create" && k != headKey {
			return errors.New("killed")
		}
		return nil
	}
	if _, err := trail.Append(t.Context(), reveal); err == nil {
		t.Fatal("Append succeeded without an entry")
	}
	m.before = nil
	if diff := cmp.Diff([]string{"head_lost 0"}, codes(t, m)); diff != "" {
		t.Errorf("after the kill (-want +got):\n%s", diff)
	}
	appendN(t, trail, 1)
	if diff := cmp.Diff([]string{"head_lost 3"}, codes(t, m)); diff != "" {
		t.Errorf("after the next entry (-want +got):\n%s", diff)
	}
}

func TestTheFirstEntryIsNotTakenForALostHead(t *testing.T) {
	t.Parallel()
	m := newMemory()
	trail := newTrail(t, m, "anil", nil)
	m.before = func(op, _ string) error {
		if op == "swap" {
			return errors.New("killed")
		}
		return nil
	}
	if _, err := trail.Append(t.Context(), reveal); err == nil {
		t.Fatal("Append succeeded without moving the head")
	}
	m.before = nil
	appendN(t, trail, 1)
	if got := codes(t, m); got != nil {
		t.Errorf("findings: %v", got)
	}
}

func TestAClockSetBackIsFound(t *testing.T) {
	t.Parallel()
	m := newMemory()
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	for _, step := range []time.Duration{0, time.Hour, -time.Second, -time.Hour} {
		at = at.Add(step)
		appendN(t, newTrail(t, m, "anil", func() time.Time { return at }), 1)
	}
	if diff := cmp.Diff([]string{"clock_back 4"}, codes(t, m)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestVerifyReadsLongChains(t *testing.T) {
	t.Parallel()
	m := newMemory()
	appendN(t, newTrail(t, m, "anil", nil), 600) // more than two windows
	m.remove(key(256), key(257), key(513))
	if diff := cmp.Diff([]string{"missing 256", "missing 513"}, codes(t, m)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestVerifyFailsIfItCannotRead(t *testing.T) {
	t.Parallel()
	down := errors.New("store is down")
	for _, op := range []string{"list audit/", "list audit/anil_ops1/", "read " + headKey, "read " + key(2)} {
		m := newMemory()
		appendN(t, newTrail(t, m, "anil", nil), 3)
		m.before = func(did, k string) error {
			if did+" "+k == op {
				return down
			}
			return nil
		}
		if r, err := audit.Verify(t.Context(), m, nil); !errors.Is(err, down) {
			t.Errorf("%s fails: %+v, %v; want its error", op, r, err)
		}
	}
}
