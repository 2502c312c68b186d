package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/vendorid"
	"github.com/kycq/kycq/storage"
)

func TestVerdictTable(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	busy := problem(502, "verification_failed", "verification attempt failed")
	rows := map[string]struct {
		script []respond
		state  storage.State
		code   string
		calls  int
	}{
		"valid":        {[]respond{valid}, storage.StateValid, "", 1},
		"invalid":      {[]respond{status("INVALID")}, storage.StateInvalid, "invalid_passport", 1},
		"other-status": {[]respond{status("PENDING")}, storage.StateFailed, "unexpected_answer", 1},
		"other-id":     {[]respond{raw(200, "application/json", `{"verification_id":"x","status":"VALID"}`)}, storage.StateFailed, "unexpected_answer", 1},
		"html-200":     {[]respond{maintenance, valid}, storage.StateValid, "", 2},
		"empty-200":    {[]respond{raw(200, "application/json", ""), problem(409, "verification_id_already_exists", "exists")}, storage.StateFailed, "answer_lost", 2},
		"bad-request":  {[]respond{problem(400, "dob_value_invalid", "dob should be of type YYYY-MM-DD.")}, storage.StateFailed, "dob_value_invalid", 1},
		"not-found":    {[]respond{problem(404, "file_not_found", "nothing here")}, storage.StateFailed, "file_not_found", 1},
		"duplicate":    {[]respond{problem(409, "verification_id_already_exists", "verification ID already exists")}, storage.StateFailed, "duplicate_verification_id", 1},
		"too-large":    {[]respond{problem(413, "", "file size exceeded")}, storage.StateFailed, "file_size_exceeded", 1},
		"other-422":    {[]respond{problem(422, "something_else", "no")}, storage.StateFailed, "something_else", 1},
		"limited":      {[]respond{limited, limited, valid}, storage.StateValid, "", 3},
		"error-500":    {[]respond{problem(500, "internal_error", "something went wrong"), valid}, storage.StateValid, "", 2},
		"error-502":    {[]respond{busy, busy, valid}, storage.StateValid, "", 3},
		"error-always": {[]respond{busy}, storage.StateFailed, "provider_error", 3},
		"lost-connect": {[]respond{hangUp, valid}, storage.StateValid, "", 2},
		"lost-answer":  {[]respond{cutShort, problem(409, "verification_id_already_exists", "exists")}, storage.StateFailed, "answer_lost", 2},
		"error-503":    {[]respond{raw(503, "text/html", "busy")}, storage.StateFailed, "unexpected_status", 1},
		"error-504":    {[]respond{raw(504, "text/html", "late")}, storage.StateFailed, "unexpected_status", 1},
	}
	for id, row := range rows {
		s.vendor.plan(id, row.script...)
	}
	s.start("worker")
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		// A good answer before each: several others in a row would hold the fleet or open the circuit breaker.
		for _, next := range []string{"good-" + id, id} {
			s.enqueuePassports(next)
			s.wait("passport", next)
		}
		row := rows[id]
		rec := s.wait("passport", id)
		if rec.State != row.state || rec.Code != row.code {
			t.Errorf("%s: %s %q, want %s %q", id, rec.State, rec.Code, row.state, row.code)
		}
		if got := s.vendor.count(id); got != row.calls {
			t.Errorf("%s: %d calls, want %d", id, got, row.calls)
		}
		if rec.State != storage.StateValid && (rec.Message == "" || rec.NextAction == "") {
			t.Errorf("%s has no advice: %q, %q", id, rec.Message, rec.NextAction)
		}
	}
}

func TestConsumedIDIsReplaced(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	exists := problem(409, "verification_id_already_exists", "verification ID already exists")
	s.vendor.plan("used", func(w http.ResponseWriter, v *vendor, id string) {
		switch {
		case id != "used":
			valid(w, v, id)
		case v.count("used") == 1:
			problem(500, "internal_error", "something went wrong")(w, v, id)
		default:
			exists(w, v, id)
		}
	})
	s.enqueuePassports("used")
	s.start("worker")
	rec := s.wait("passport", "used")
	derived := vendorid.Derive("passport", "used", 1)
	if rec.State != storage.StateValid || s.vendor.count("used") != 2 || s.vendor.count(derived) != 1 {
		t.Errorf("%s %q after %d and %d calls", rec.State, rec.Code, s.vendor.count("used"), s.vendor.count(derived))
	}
}

func TestMaskedImageIsStoredWithItsPixelsUnchanged(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.vendor.plan("invalid", status("INVALID_DOCUMENT"))
	s.vendor.plan("no-link", status("VALID"))
	for _, id := range []string{"card", "invalid", "no-link"} {
		s.enqueueAadhaar(id)
	}
	s.start("worker")
	rec := s.wait("aadhaar", "card")
	if rec.State != storage.StateValid || rec.MaskedImage == nil {
		t.Fatalf("%s %q", rec.State, rec.Code)
	}
	body, err := s.store.Masked(t.Context(), rec.MaskedImage.Key)
	if err != nil {
		t.Fatal(err)
	}
	hexSum := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	if !reflect.DeepEqual(pixels(t, body), pixels(t, maskedJPEG())) {
		t.Error("the stored pixels are not the vendor's")
	}
	m := rec.MaskedImage
	if m.SHA256 != hexSum(body) || m.VendorSHA256 != hexSum(maskedJPEG()) || m.Bytes != int64(len(body)) ||
		m.ContentType != "image/jpeg" || m.Width != 600 || m.Height != 400 || m.Key != "masked/card/1.jpg" {
		t.Errorf("%+v", m)
	}
	// The upload is deleted after the final write.
	eventually(t, func() bool { return !s.wait("aadhaar", "card").UploadDeletedAt.IsZero() })
	if rec := s.wait("aadhaar", "invalid"); rec.State != storage.StateInvalid {
		t.Errorf("INVALID_DOCUMENT: %s %q", rec.State, rec.Code)
	}
	if rec := s.wait("aadhaar", "no-link"); rec.State != storage.StateFailed || rec.Code != "unexpected_answer" {
		t.Errorf("no image_link: %s %q", rec.State, rec.Code)
	}
}

func pixels(t *testing.T, body []byte) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestRefusedAccountHoldsTheFleetUntilResumed(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]respond{
		"missing-header": problem(400, "x-client-id_missing", "x-client-id is missing in the request"),
		"test-secret":    problem(400, "x-client-secret_value_invalid", "Client secret belongs to test environment"),
		"credentials":    problem(401, "authentication_failed", "Invalid clientId and clientSecret combination"),
		"address":        problem(403, "ip_validation_failed", "IP not whitelisted your current ip is 192.0.2.1"),
		"balance":        problem(422, "insufficient_balance", "Insufficient balance to process this request."),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			const jobs = 12
			var ids []string
			for i := range jobs {
				id := fmt.Sprintf("job-%d", i)
				s.vendor.plan(id, refusal)
				ids = append(ids, id)
			}
			s.enqueuePassports(ids...)
			worker := s.start("worker")
			eventually(t, func() bool {
				out, _, _ := s.run(nil, "fleet", "status", "--json")
				var status struct{ Holds []hold.Hold }
				return json.Unmarshal([]byte(out), &status) == nil && len(status.Holds) > 0
			})
			before := s.vendor.total()
			if before > 1+4 { // the live concurrency of one worker
				t.Errorf("%d calls before the hold", before)
			}
			for _, id := range ids {
				s.vendor.plan(id, valid)
			}
			if out, stderr, code := s.run(nil, "fleet", "resume"); code != 0 {
				t.Fatalf("fleet resume: %d %s%s", code, out, stderr)
			}
			for _, id := range ids {
				if rec := s.wait("passport", id); rec.State != storage.StateValid {
					t.Errorf("%s: %s %q", id, rec.State, rec.Code)
				}
			}
			if n := strings.Count(worker.read(t), "the whole fleet is on hold"); n != 1 {
				t.Errorf("the hold was logged %d times", n)
			}
		})
	}
}

func TestTerminatedWorkerFinishesItsCallsAndCallsNothingTwice(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.vendor.served = make(chan struct{}, 64)
	release := make(chan struct{})
	var ids []string
	for i := range 12 {
		id := fmt.Sprintf("slow-%d", i)
		ids = append(ids, id)
		s.vendor.plan(id, func(w http.ResponseWriter, v *vendor, id string) {
			<-release
			valid(w, v, id)
		})
	}
	s.enqueuePassports(ids...)
	first := s.start("worker")
	<-s.vendor.served // a call is in flight
	// The signal must arrive while calls are in flight, and be handled before they end.
	released := make(chan struct{})
	go func() {
		defer close(released)
		for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
			if strings.Contains(first.read(t), "stopping: calls in flight") {
				break
			}
		}
		close(release)
	}()
	first.terminate(t)
	<-released
	inFlight := s.vendor.total()
	if inFlight == 0 || inFlight == len(ids) {
		t.Fatalf("%d calls were in flight: the test proves nothing", inFlight)
	}
	s.start("worker")
	for _, id := range ids {
		rec := s.wait("passport", id)
		if rec.State != storage.StateValid || s.vendor.count(id) != 1 || len(rec.Attempts) != 1 {
			t.Errorf("%s: %s %q, %d calls, %d attempts", id, rec.State, rec.Code, s.vendor.count(id), len(rec.Attempts))
		}
	}
}

// eventually waits for a condition that another process brings about.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	const timeout = 3 * time.Minute
	for deadline := time.Now().Add(timeout); !condition(); <-time.After(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not reached within %s", timeout)
		}
	}
}
