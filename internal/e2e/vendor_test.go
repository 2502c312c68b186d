package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// respond answers one call.
type respond func(w http.ResponseWriter, v *vendor, id string)

// vendor simulates Cashfree from a script: the nth call with an id gets the nth response, further calls get the last one.
type vendor struct {
	server *httptest.Server

	mu     sync.Mutex
	script map[string][]respond
	calls  map[string]int
	served chan struct{} // if not nil, receives a value for each call that begins

	imagesDown atomic.Bool       // the image links answer 503
	images     map[string][]byte // the masked images by id, in place of maskedJPEG
}

func startVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{script: map[string][]respond{}, calls: map[string]int{}}
	v.server = httptest.NewServer(v)
	t.Cleanup(v.server.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/image/") {
		if v.imagesDown.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream") // the type must come from the bytes
		image, ok := v.images[strings.TrimPrefix(r.URL.Path, "/image/")]
		if !ok {
			image = maskedJPEG()
		}
		_, _ = w.Write(image)
		return
	}
	id, err := idOf(r)
	if err != nil || r.Header.Get("x-client-id") == "" || r.Header.Get("x-client-secret") == "" {
		problem(400, "validation_error", "bad request")(w, v, id)
		return
	}
	v.mu.Lock()
	script := v.script[scriptOf(id)]
	n := v.calls[id]
	v.calls[id]++
	served := v.served
	v.mu.Unlock()
	if served != nil {
		served <- struct{}{}
	}
	if len(script) == 0 {
		valid(w, v, id)
		return
	}
	script[min(n, len(script)-1)](w, v, id)
}

// scriptOf is the name of the script of an id. A derived id has the script of the original.
func scriptOf(id string) string {
	stem, _, _ := strings.Cut(id, ".k")
	return stem
}

func idOf(r *http.Request) (string, error) {
	if strings.HasSuffix(r.URL.Path, "/aadhaar-masking") {
		file, _, err := r.FormFile("image")
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.Discard, file)
		return r.FormValue("verification_id"), err
	}
	var body struct {
		ID string `json:"verification_id"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	return body.ID, err
}

func (v *vendor) plan(id string, script ...respond) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.script[id] = script
}

func (v *vendor) count(id string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[id]
}

func (v *vendor) total() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	sum := 0
	for _, n := range v.calls {
		sum += n
	}
	return sum
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func valid(w http.ResponseWriter, v *vendor, id string) {
	reply(w, 200, fmt.Sprintf(`{"verification_id":%q,"reference_id":4711,"status":"VALID","file_number":"SPECIMEN00001",
		"name":"Specimen Person","dob":"1990-01-31","application_type":"NORMAL","application_received_date":"2010-01-01",
		"image_link":"%s/image/%s"}`, id, v.server.URL, id))
}

func status(word string) respond {
	return func(w http.ResponseWriter, _ *vendor, id string) {
		reply(w, 200, fmt.Sprintf(`{"verification_id":%q,"reference_id":4711,"status":%q}`, id, word))
	}
}

func problem(code int, vendorCode, message string) respond {
	return func(w http.ResponseWriter, _ *vendor, _ string) {
		reply(w, code, fmt.Sprintf(`{"type":"error","code":%q,"message":%q}`, vendorCode, message))
	}
}

func raw(code int, contentType, body string) respond {
	return func(w http.ResponseWriter, _ *vendor, _ string) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func limited(w http.ResponseWriter, _ *vendor, _ string) {
	w.Header().Set("Retry-After", "1")
	reply(w, 429, `{"type":"rate_limit_error","code":"too_many_requests_per_operation","message":"Too many requests"}`)
}

// hangUp closes the connection without an answer.
func hangUp(http.ResponseWriter, *vendor, string) { panic(http.ErrAbortHandler) }

func cutShort(w http.ResponseWriter, _ *vendor, id string) {
	w.Header().Set("Content-Length", "500")
	_, _ = fmt.Fprintf(w, `{"verification_id":%q,"status":"VALID"`, id)
}

// maskedJPEG is served as the masked image: the card with one line covered.
func maskedJPEG() []byte { return encodeCard(image.Rect(30, 300, 570, 330)) }

// cardJPEG is what a producer enqueues. This vendor accepts any image as a card.
func cardJPEG() []byte { return encodeCard(image.Rectangle{}) }

// encodeCard draws lines of bars, which stand for text, and covers a part of them.
func encodeCard(covered image.Rectangle) []byte {
	img := image.NewGray(image.Rect(0, 0, 600, 400))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	for y := 40; y < 400; y += 40 {
		for x := 40; x < 560; x += 12 {
			draw.Draw(img, image.Rect(x, y-10, x+6, y+10), image.Black, image.Point{}, draw.Src)
		}
	}
	draw.Draw(img, covered, image.NewUniform(color.Gray{Y: 200}), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}
