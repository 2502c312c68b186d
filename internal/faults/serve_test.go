package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// submissionSteps are the steps of a submission by kycq serve, each after S3 has executed its request.
func submissionSteps(kind tasks.Kind) []killPoint {
	var queued atomic.Bool
	accepted := killPoint{name: "accepted", s3: writesState(storage.StateQueued)}
	if kind == tasks.Passport {
		return []killPoint{accepted} // the other steps are those of an image
	}
	return []killPoint{
		{name: "uploaded", s3: requests(http.MethodPut, "-inbox/single/")},
		{name: "marked", s3: requests(http.MethodPut, "/open/")},
		accepted,
		{name: "enqueued", s3: func(r *http.Request) bool { // the record is read for the answer
			if writesState(storage.StateQueued)(r) {
				queued.Store(true)
			}
			return queued.Load() && requests(http.MethodGet, "/records/")(r)
		}},
	}
}

// TestServeKilled kills kycq serve at each step of a submission. The client sends it again to another one: each makes one job and
// one charge.
func TestServeKilled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.skipReconcile()
	s.startWorker()
	keys := filepath.Join(s.dir, "api.keys")
	token, _, code := s.run("", "serve", "key", "--name", "app1", "--scope", "submit", "--file", keys)
	if code != 0 {
		t.Fatalf("serve key: exit code %d", code)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	submit := func(url string, j job) (int, error) {
		body, contentType := io.Reader(bytes.NewReader(card())), "image/jpeg"
		if j.kind == tasks.Passport {
			url, contentType = url+"/v1/passport", "application/json"
			body = strings.NewReader(`{"verification_id":"` + j.id + `","file_number":"` + canaryNumber + `7","dob":"` + canaryDOB + `","name":"` + canaryName + `"}`)
		} else {
			url += "/v1/aadhaar?verification_id=" + j.id
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		req.Header.Set("Content-Type", contentType)
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	serve, url := s.startServe(keys)
	jobs := 0
	for _, kind := range tasks.Kinds() {
		for _, at := range submissionSteps(kind) {
			at.nth, at.executed = 1, true
			own := at.s3
			at.s3 = func(r *http.Request) bool { return writer(r) == serveName && own(r) }
			killer, j := newTrap(at), s.nextJob(kind, false)
			s.recorder.inject(killer.request)
			answered := make(chan error, 1)
			go func() {
				_, err := submit(url, j)
				answered <- err
			}()
			killer.wait(t, serve)
			if canary, ok := findCanary(serve.output()); ok {
				t.Errorf("leak: %q is readable in the log of kycq serve", canary)
			}
			if err := <-answered; err == nil {
				t.Errorf("%s: an answer before %s", kind, at.name)
			}
			s.recorder.inject(nil)
			serve, url = s.startServe(keys)
			if status, err := submit(url, j); err != nil || status != http.StatusAccepted && status != http.StatusOK {
				t.Fatalf("%s killed at %s, sent again: %d %v", kind, at.name, status, err)
			}
			if kind == tasks.Aadhaar {
				sum := sha256.Sum256(card())
				j.upload = &tasks.Image{Bucket: s.s3.Config().InboxBucket, Key: storage.SingleGroup + "/" + j.id + "." + hex.EncodeToString(sum[:])[:12], Uploaded: true}
			}
			s.accepted = append(s.accepted, j)
			jobs++
		}
	}
	s.verify(noLoss)
	s.verifyCalls(1)
	if n := s.charges(); n != jobs {
		t.Errorf("%d charges for %d jobs", n, jobs)
	}
}

const serveName = "serve"

// startServe starts kycq serve, and waits until it listens.
func (s *stack) startServe(keys string) (serve *process, url string) {
	s.t.Helper()
	serve = launch(s.t, s.dir, s.program, append(s.env[:len(s.env):len(s.env)], "AWS_SDK_UA_APP_ID="+serveName), nil, "serve", "--api-keys-file", keys)
	until(s.t, "kycq serve listens", func() bool {
		if !serve.running() {
			s.t.Fatalf("kycq serve has exited:\n%s", serve.output())
		}
		for line := range strings.Lines(serve.output()) {
			if strings.HasPrefix(line, "http://") {
				url = strings.TrimSpace(line)
			}
		}
		return url != ""
	})
	return serve, url
}
