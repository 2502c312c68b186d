package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// vendor answers as Cashfree does, at once and without a limit. Every masked image is the same.
type vendor struct {
	url    string
	server *http.Server
	masked []byte
	calls  atomic.Int64   // answered
	called chan time.Time // if not nil, receives when each call arrived
}

func startVendor(masked []byte) (*vendor, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &vendor{url: "http://" + l.Addr().String(), masked: masked}
	v.server = &http.Server{Handler: v, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = v.server.Serve(l) }() // until Close
	return v, nil
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(v.masked)
		return
	}
	if v.called != nil {
		v.called <- time.Now()
	}
	id, err := readID(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"verification_id":%q,"reference_id":4711,"status":"VALID","file_number":"SPECIMEN00001",`+
		`"name":"Specimen Person","dob":"1990-01-31","application_type":"NORMAL","application_received_date":"2010-01-01",`+
		`"image_link":"%s/masked.jpg"}`, id, v.url)
	v.calls.Add(1)
}

// readID reads the whole request.
func readID(r *http.Request) (string, error) {
	if !strings.HasSuffix(r.URL.Path, "/aadhaar-masking") {
		var body struct {
			ID string `json:"verification_id"`
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		return body.ID, err
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return "", err
	}
	id := ""
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return id, nil
		}
		if err != nil {
			return "", err
		}
		if err := readPart(part, &id); err != nil {
			return "", err
		}
	}
}

func readPart(part *multipart.Part, id *string) error {
	if part.FormName() != "verification_id" {
		_, err := io.Copy(io.Discard, part)
		return err
	}
	text, err := io.ReadAll(io.LimitReader(part, 100))
	*id = string(text)
	return err
}
