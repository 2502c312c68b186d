package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage/storagetest"
)

var reveal = audit.Act{Action: "reveal", Kind: "passport", VerificationID: "ABC00123", Reason: "asked by the bank", Detail: map[string]string{"run": "2"}}

func newTrail(t *testing.T, bucket audit.Bucket, user string, now func() time.Time) *audit.Trail {
	t.Helper()
	trail, err := audit.New(audit.Config{Bucket: bucket, User: user, Host: "ops1", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

func appendN(t *testing.T, trail *audit.Trail, n int) {
	t.Helper()
	for range n {
		if _, err := trail.Append(t.Context(), reveal); err != nil {
			t.Fatal(err)
		}
	}
}

func key(seq int) string { return fmt.Sprintf("audit/anil_ops1/%012d.json", seq) }

const headKey = "audit/anil_ops1/head.json"

// codes returns the report's findings as "code seq".
func codes(t *testing.T, bucket audit.Bucket) []string {
	t.Helper()
	r, err := audit.Verify(t.Context(), bucket, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %d", f.Code, f.Seq))
	}
	return out
}

func TestAnEntryHasTheDocumentedForm(t *testing.T) {
	t.Parallel()
	m := newMemory()
	at := time.Date(2026, 3, 1, 9, 30, 0, 123456789, time.FixedZone("IST", 19800))
	trail := newTrail(t, m, "anil", func() time.Time { return at })
	appendN(t, trail, 1)
	if _, err := trail.Append(t.Context(), audit.Act{Action: "fleet.resume"}); err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/entries.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), m.text(key(1))+m.text(key(2))); diff != "" {
		t.Errorf("the form of entries has changed (-golden +got):\n%s", diff)
	}
}

func TestEveryWriterHasAValidChain(t *testing.T) {
	t.Parallel()
	for name, bucket := range map[string]audit.Bucket{"memory": newMemory(), "store": audit.BucketOf(storagetest.New(t).Buckets())} {
		t.Run(name, func(t *testing.T) {
			anil := newTrail(t, bucket, "anil", nil)
			appendN(t, anil, 3)
			appendN(t, newTrail(t, bucket, "DOMAIN\\renée d'Or", nil), 2)
			appendN(t, newTrail(t, bucket, "anil", nil), 2) // another process of the same writer
			r, err := audit.Verify(t.Context(), bucket, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) != 0 {
				t.Errorf("findings in an untouched trail: %+v", r.Findings)
			}
			var sum []string
			for _, c := range r.Chains {
				sum = append(sum, fmt.Sprintf("%s %d %d %d", c.Writer, c.Entries, c.Last, len(c.Hash)))
			}
			if diff := cmp.Diff([]string{"DOMAIN-ren-e-d-Or-5d8ecd0a_ops1 2 2 64", "anil_ops1 5 5 64"}, sum); diff != "" {
				t.Errorf("chains (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConcurrentWritersOfOneChainLeaveNoGap(t *testing.T) {
	t.Parallel()
	for name, bucket := range map[string]audit.Bucket{"memory": newMemory(), "store": audit.BucketOf(storagetest.New(t).Buckets())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wg sync.WaitGroup
			for range 4 {
				trail := newTrail(t, bucket, "anil", nil)
				wg.Go(func() {
					for range 5 {
						if _, err := trail.Append(t.Context(), reveal); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			r, err := audit.Verify(t.Context(), bucket, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Findings) != 0 || len(r.Chains) != 1 || r.Chains[0].Entries != 20 || r.Chains[0].Last != 20 {
				t.Errorf("report = %+v", r)
			}
		})
	}
}

func TestASlowWriterDoesNotSetTheHeadBack(t *testing.T) {
	t.Parallel()
	m := newMemory()
	slow, fast := newTrail(t, m, "anil", nil), newTrail(t, m, "anil", nil)
	var once sync.Once
	m.before = func(op, _ string) error {
		if op == "swap" {
			once.Do(func() {
				m.before = nil
				appendN(t, fast, 2)
			})
		}
		return nil
	}
	appendN(t, slow, 1)
	if head := m.text(headKey); !strings.Contains(head, `"seq":3,`) {
		t.Errorf("head = %s, want it at entry 3", head)
	}
	if got := codes(t, m); got != nil {
		t.Errorf("findings: %v", got)
	}
}

func TestAppendFailsIfTheEntryCannotBeWritten(t *testing.T) {
	t.Parallel()
	down := errors.New("store is down")
	for _, op := range []string{"create audit/anil_ops1/0", "create audit/anil_ops1/head", "read", "swap"} {
		m := newMemory()
		m.before = func(did, key string) error {
			if strings.HasPrefix(did+" "+key, op) {
				return down
			}
			return nil
		}
		if _, err := newTrail(t, m, "anil", nil).Append(t.Context(), reveal); !errors.Is(err, down) {
			t.Errorf("%s fails: Append = %v, want its error", op, err)
		}
	}
}

func TestAnEntryWhoseHeadDidNotMoveLeavesTheChainWhole(t *testing.T) {
	t.Parallel()
	m := newMemory()
	trail := newTrail(t, m, "anil", nil)
	appendN(t, trail, 1)
	m.before = func(op, _ string) error {
		if op == "swap" { // the process ends between writing the entry and moving the head
			return objects.ErrUncertain
		}
		return nil
	}
	if _, err := trail.Append(t.Context(), reveal); !errors.Is(err, objects.ErrUncertain) {
		t.Fatalf("Append = %v, want ErrUncertain", err)
	}
	m.before = nil
	e, err := trail.Append(t.Context(), reveal)
	if err != nil {
		t.Fatal(err)
	}
	if e.Seq != 3 {
		t.Errorf("the next entry is %d, want 3, after the one that the head does not include", e.Seq)
	}
	if got := codes(t, m); got != nil {
		t.Errorf("findings: %v", got)
	}
}

func TestFreeTextIsRefusedExceptInTheReason(t *testing.T) {
	t.Parallel()
	m := newMemory()
	trail := newTrail(t, m, "anil", nil)
	const canary = "Canary Person"
	for name, act := range map[string]audit.Act{
		"no action":       {},
		"action":          {Action: canary},
		"kind":            {Action: "reveal", Kind: canary},
		"verification_id": {Action: "reveal", VerificationID: canary},
		"batch":           {Action: "reveal", Batch: canary},
		"detail":          {Action: "reveal", Detail: map[string]string{"name": canary}},
		"detail's name":   {Action: "reveal", Detail: map[string]string{canary: "x"}},
		"long reason":     {Action: "reveal", Reason: strings.Repeat(canary, 50)},
		"two lines":       {Action: "reveal", Reason: canary + "\n"},
		"terminal codes":  {Action: "reveal", Reason: canary + "\x1b[2J"},
		"not UTF-8":       {Action: "reveal", Reason: canary + "\xff"},
	} {
		_, err := trail.Append(t.Context(), act)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), "Canary") {
			t.Errorf("%s: the error quotes it: %v", name, err)
		}
	}
	if keys := m.keys(); len(keys) != 0 {
		t.Errorf("refused events were written: %v", keys)
	}
}

func TestATrailNeedsAUserAndAHost(t *testing.T) {
	t.Parallel()
	for _, c := range []audit.Config{{Host: "h"}, {User: "u"}} {
		if _, err := audit.New(c); err == nil {
			t.Errorf("New(%+v) = nil error", c)
		}
	}
	user, host, err := audit.Here()
	if err != nil || user == "" || host == "" {
		t.Errorf("Here = %q, %q, %v", user, host, err)
	}
}

func TestACancelledContextWritesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bucket := audit.BucketOf(storagetest.New(t).Buckets())
	if _, err := newTrail(t, bucket, "anil", nil).Append(ctx, reveal); !errors.Is(err, context.Canceled) {
		t.Errorf("Append = %v, want context.Canceled", err)
	}
	for o, err := range bucket.List(t.Context(), "audit/") {
		t.Errorf("written: %v, %v", o, err)
	}
}
