package simulator_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/dev/simulator/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reply is what a client saw.
type reply struct {
	Status  int
	Header  http.Header
	Raw     []byte
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`

	VerificationID string `json:"verification_id"`
	ReferenceID    int64  `json:"reference_id"`
	Result         string `json:"status"`
	ImageLink      string `json:"image_link"`
	FileNumber     string `json:"file_number"`
	Name           string `json:"name"`
	DOB            string `json:"dob"`
	AppType        string `json:"application_type"`
	Received       string `json:"application_received_date"`
}

// edit changes a request before it is sent.
type edit func(*http.Request)

func header(name, value string) edit {
	return func(r *http.Request) {
		if value == "" {
			r.Header.Del(name)
			return
		}
		r.Header.Set(name, value)
	}
}

func signed(r *http.Request, edits []edit) *http.Request {
	r.Header.Set("x-client-id", "client")
	r.Header.Set("x-client-secret", "cfsk_ma_prod_secret")
	for _, e := range edits {
		e(r)
	}
	return r
}

var account = simulator.Config{ClientID: "client", ClientSecret: "cfsk_ma_prod_secret"}

func passportBody(id string) string {
	return `{"verification_id":"` + id + `","file_number":"PA1079341954215","dob":"2007-03-01","name":"Specimen Person"}`
}

func passportRequest(base, body string, edits ...edit) *http.Request {
	r, err := http.NewRequest(http.MethodPost, base+"/passport", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return signed(r, edits)
}

// form is a multipart body; a field that is nil is left out.
func form(id *string, img []byte) (body []byte, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if id != nil {
		_ = w.WriteField("verification_id", *id)
	}
	if img != nil {
		part, _ := w.CreateFormFile("image", "card.png")
		_, _ = part.Write(img)
	}
	_ = w.Close()
	return b.Bytes(), w.FormDataContentType()
}

func maskRequest(base, id string, img []byte, edits ...edit) *http.Request {
	body, contentType := form(&id, img)
	r, err := http.NewRequest(http.MethodPost, base+"/aadhaar-masking", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", contentType)
	return signed(r, edits)
}

// client has a pool of its own, so that goleak sees what a test leaves behind.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do sends a request over TCP.
func do(t *testing.T, r *http.Request) reply {
	t.Helper()
	resp, err := client(t).Do(r)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return parse(resp.StatusCode, resp.Header, body)
}

// call serves a request in memory, for tests under fake time.
func call(sim http.Handler, r *http.Request) reply {
	w := httptest.NewRecorder()
	r.RemoteAddr = "192.0.2.7:4711"
	sim.ServeHTTP(w, r)
	return parse(w.Code, w.Header(), w.Body.Bytes())
}

func parse(status int, h http.Header, body []byte) reply {
	got := reply{Status: status, Header: h, Raw: body}
	_ = json.Unmarshal(body, &got)
	return got
}

func newSim(t *testing.T, cfg simulator.Config) *simulator.Simulator {
	t.Helper()
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	return sim
}

func ledger(t *testing.T, sim *simulator.Simulator) []simulator.LedgerEntry {
	t.Helper()
	return (&simtest.Server{Sim: sim}).Entries(t)
}

// pass lets time pass, in a synctest bubble alone, where it costs nothing.
func pass(d time.Duration) { <-time.After(d) }

// picture is a small PNG that blank masks.
func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// blank is a masker that finds a card everywhere.
func blank(img image.Image) (image.Image, bool) { return image.NewRGBA(img.Bounds()), true }

func wantError(t *testing.T, got reply, status int, code string) {
	t.Helper()
	if got.Status != status || got.Code != code {
		t.Errorf("got %d %q, want %d %q (%s)", got.Status, got.Code, status, code, got.Raw)
	}
}
