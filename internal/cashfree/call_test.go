package cashfree

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestMaskAadhaarSendsTheWholeImageOnce(t *testing.T) {
	t.Parallel()
	image := bytes.Repeat([]byte("SPECIMEN"), 100_000)
	c := vendor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/verification/aadhaar-masking" {
			t.Errorf("got %s %s", r.Method, r.URL.Path)
		}
		if r.ContentLength <= int64(len(image)) || len(r.TransferEncoding) > 0 {
			t.Errorf("want an exact Content-Length, got %d %v", r.ContentLength, r.TransferEncoding)
		}
		if r.Header.Get("X-Client-Id") != "CF_SPECIMEN" || r.Header.Get("X-Client-Secret") != "specimen-secret" {
			t.Error("the credentials are not in their headers")
		}
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key", "X-Cf-Signature", "Expect"} {
			if r.Header.Get(name) != "" {
				t.Errorf("header %s is sent", name)
			}
		}
		if r.FormValue("verification_id") != testID {
			t.Errorf("verification_id %q", r.FormValue("verification_id"))
		}
		file, header, err := r.FormFile("image")
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(file)
		if err != nil || !bytes.Equal(got, image) {
			t.Errorf("%d bytes of the image arrived (%v)", len(got), err)
		}
		if header.Filename != "image.jpg" || header.Header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("part %q %v", header.Filename, header.Header)
		}
		w.Header().Set("X-RateLimit-Remaining", "17")
		_, _ = io.WriteString(w, okMasked)
	})
	r := mask(t.Context(), c, image)
	if r.Class != Valid || r.HTTPStatus != 200 || r.Err != nil || r.ReferenceID != 354768 || r.Image.Reveal() != testLink {
		t.Errorf("got %v (%v)", r, r.Err)
	}
	if string(r.Body) != okMasked || r.Rate.Remaining != 17 || r.Rate.Limit != -1 || r.Duration <= 0 {
		t.Errorf("body %q, rate %+v, duration %s", r.Body, r.Rate, r.Duration)
	}
}

func TestVerifyPassportSendsTheDocumentedJSON(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		c := vendor(t, func(w http.ResponseWriter, r *http.Request) {
			var got map[string]string
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.URL.Path != "/verification/passport" {
				t.Errorf("%s: %v", r.URL.Path, err)
			}
			want := map[string]string{"verification_id": testID, "file_number": "ZZ0000SPECIMEN", "dob": "1990-02-28"}
			if named {
				want["name"] = "Specimen Person"
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
			_, _ = io.WriteString(w, `{"status":"VALID","verification_id":"ABC00123","reference_id":1358}`)
		})
		req := PassportRequest{ProviderID: testID, FileNumber: personal("ZZ0000SPECIMEN"), DOB: personal("1990-02-28")}
		if named {
			req.Name = personal("Specimen Person")
		}
		if r := c.VerifyPassport(t.Context(), req); r.Class != Valid || r.ReferenceID != 1358 || r.Passport == nil {
			t.Errorf("got %v (%v)", r, r.Err)
		}
	}
}

func TestAReplyPrintsNothingSensitive(t *testing.T) {
	t.Parallel()
	c := vendor(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, okMasked) })
	r := mask(t.Context(), c, []byte("image"))
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("reply", "pointer", r, "value", *r)
	asJSON, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %x", r, *r, r, r, *r), log.String(), string(asJSON)} {
		mustNotLeak(t, text)
		if strings.Contains(text, "354768") || strings.Contains(text, "eyJ") {
			t.Errorf("the body shows up in %s", text)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := vendor(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", "http://%zz")
			w.WriteHeader(status)
		})
		if r := verify(t.Context(), c); r.Class != Undocumented || r.HTTPStatus != status {
			t.Errorf("%d: got %v", status, r)
		}
	}
	if calls.Load() != 5 {
		t.Errorf("%d calls for 5 requests", calls.Load())
	}
}

func TestFailedConnectionsAreNotSent(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	plain := wire(t, func(_ int, _ *net.TCPConn, r *bufio.Reader) { _, _ = r.Peek(1) }) // hangs up in the TLS handshake
	foreign := httptest.NewTLSServer(http.NotFoundHandler())                            // an unknown certificate
	foreign.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(foreign.Close)

	tests := map[string]struct{ url, words string }{
		"refused":     {"http://" + closed.Addr().String(), "connection refused"},
		"no tls":      {strings.Replace(plain, "http:", "https:", 1), ""},
		"certificate": {foreign.URL, "unknown authority"},
		"name":        {"https://no-such-host.invalid", "name"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testClient(t, tt.url)
			for _, r := range []*Reply{mask(t.Context(), c, []byte("image")), verify(t.Context(), c)} {
				if r.Class != NotSent || r.HTTPStatus != 0 || r.Err == nil || !strings.Contains(r.Err.Error(), tt.words) {
					t.Errorf("got %v (%v)", r, r.Err)
				}
				if r.Rate.Limit != -1 || r.Rate.Remaining != -1 {
					t.Errorf("rate %+v", r.Rate)
				}
			}
		})
	}
}

func TestACancelledContextSendsNothing(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c := vendor(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	source := &countingReader{r: strings.NewReader("image")}
	r := c.MaskAadhaar(ctx, MaskRequest{ProviderID: testID, Image: source, Size: 5, ContentType: "image/png", Ext: ".png"})
	if r.Class != NotSent || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %v (%v)", r, r.Err)
	}
	if calls.Load() != 0 || source.reads.Load() != 0 {
		t.Errorf("%d calls, %d reads of the image", calls.Load(), source.reads.Load())
	}
}

// TestNotSentIsNeverReportedForASentRequest cancels at different moments. If the reply is NotSent, the server must not have
// received the call.
func TestNotSentIsNeverReportedForASentRequest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ID string `json:"verification_id"`
		}
		if json.NewDecoder(r.Body).Decode(&body) == nil {
			mu.Lock()
			seen[body.ID] = true
			mu.Unlock()
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	c := testClient(t, srv.URL)
	classes := map[Class]int{}
	var notSent []string
	for i := range 400 {
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(time.Duration(i)*2*time.Microsecond, cancel)
		id := "ID" + strconv.Itoa(i)
		r := c.VerifyPassport(ctx, PassportRequest{ProviderID: id})
		stop.Stop()
		cancel()
		classes[r.Class]++
		if r.Class == NotSent {
			notSent = append(notSent, id)
		}
	}
	c.Close()
	srv.Close() // waits for every handler
	for _, id := range notSent {
		if seen[id] {
			t.Errorf("%s was reported as not sent and arrived", id)
		}
	}
	t.Logf("classes: %v", classes)
}

func TestALostAnswerIsLost(t *testing.T) {
	t.Parallel()
	const half = `{"status":"VALID","verifica`
	tests := map[string]struct {
		answer string
		reset  bool
		status int
	}{
		"closed without an answer":  {"", false, 0},
		"reset without an answer":   {"", true, 0},
		"cut status line":           {"HTTP/1.1 2", false, 0},
		"not http":                  {"ZZ0000SPECIMEN 106.51.91.104\r\n\r\n", false, 0},
		"cut body":                  {"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + half, false, 200},
		"cut body, then reset":      {"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + half, true, 200},
		"cut chunk":                 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + half, false, 200},
		"cut before the last chunk": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", false, 200},
		"cut error body":            {"HTTP/1.1 401 No\r\nContent-Length: 300\r\n\r\n" + half, false, 401},
		"cut, framed by the close":  {"HTTP/1.1 200 OK\r\n\r\n" + half, false, 200},
		"endless headers":           {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxHeaderBytes), false, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			c := testClient(t, wire(t, func(_ int, conn *net.TCPConn, r *bufio.Reader) {
				calls.Add(1)
				_ = readRequest(r)
				_, _ = io.WriteString(conn, tt.answer)
				if tt.reset {
					_ = conn.SetLinger(0)
				}
			}))
			r := verify(t.Context(), c)
			if tt.reset && r.Class == Lost {
				tt.status = r.HTTPStatus // a reset may overtake the header
			}
			if r.Class != Lost || r.HTTPStatus != tt.status || r.Err == nil || r.Body != nil {
				t.Errorf("got %v (%v)", r, r.Err)
			}
			mustNotLeak(t, r.Err.Error())
			if calls.Load() != 1 {
				t.Errorf("%d connections for one call", calls.Load())
			}
		})
	}
}

func TestErrorStatusesNeedNoBody(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer string
		class  Class
		body   int
	}{
		"html":               {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", OtherStatus, 6},
		"empty":              {"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", Undocumented, 0},
		"framed by close":    {"HTTP/1.0 429 Slow\r\n\r\nslow down", RateLimited, 9},
		"cut JSON, no frame": {"HTTP/1.1 422 No\r\n\r\n" + `{"code":"insuf`, Rejected, 14},
		"after 100 and 103":  {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n", Duplicate, 0},
		"200 html":           {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", Unreadable, 6},
		"200 empty":          {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Unreadable, 0},
		"200 html, no frame": {"HTTP/1.1 200 OK\r\n\r\n<html>", Unreadable, 6},
		"204":                {"HTTP/1.1 204 No Content\r\n\r\n", Unreadable, 0},
		"another protocol":   {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nanything", Undocumented, 0},
		"unheard-of status":  {"HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", Undocumented, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testClient(t, wire(t, func(_ int, conn *net.TCPConn, r *bufio.Reader) {
				_ = readRequest(r)
				_, _ = io.WriteString(conn, tt.answer)
			}))
			if r := verify(t.Context(), c); r.Class != tt.class || len(r.Body) != tt.body || r.Err != nil {
				t.Errorf("got %v with a body of %d (%v)", r, len(r.Body), r.Err)
			}
		})
	}
}

func TestAnOversizedAnswerIsClassifiedByItsStatus(t *testing.T) {
	t.Parallel()
	unframed := wire(t, func(_ int, conn *net.TCPConn, r *bufio.Reader) {
		_ = readRequest(r)
		_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n[\""+strings.Repeat("x", 2*maxBody))
	})
	if r := verify(t.Context(), testClient(t, unframed)); r.Class != Unreadable || len(r.Body) != maxBody {
		t.Errorf("unframed: got %v with a body of %d (%v)", r, len(r.Body), r.Err)
	}
	for status, class := range map[int]Class{200: Unreadable, 500: OtherStatus, 401: Undocumented} {
		c := vendor(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write(bytes.Repeat([]byte(" "), 3*maxBody))
			_, _ = io.WriteString(w, okMasked)
		})
		size := maxErrorBody
		if status == 200 {
			size = maxBody
		}
		if r := mask(t.Context(), c, []byte("image")); r.Class != class || len(r.Body) != size || r.Err != nil {
			t.Errorf("%d: got %v with a body of %d (%v)", status, r, len(r.Body), r.Err)
		}
	}
}

// Servers and proxies add a byte order mark, or compress without being asked.
func TestGzipAndAByteOrderMarkAreUndone(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"bom": "\ufeff" + okMasked, "gzip": zip(okMasked), "both": zip("\ufeff" + okMasked), "blank": "\r\n " + okMasked} {
		for _, declared := range []string{"", "gzip"} {
			c := vendor(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "identity" {
					t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
				}
				if declared != "" {
					w.Header().Set("Content-Encoding", declared)
				}
				_, _ = io.WriteString(w, body)
			})
			if r := mask(t.Context(), c, []byte("image")); r.Class != Valid || r.Image.Reveal() != testLink {
				t.Errorf("%s, declared %q: %v", name, declared, r)
			}
		}
	}
	if got := plain([]byte(zip(strings.Repeat("x", 1000))), 100); len(got) != 101 {
		t.Errorf("unzipped %d bytes at a limit of 100", len(got))
	}
}

func zip(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// TestEarlyAnswersAreRead: a gateway refuses before it has read the image, and closes the connection. The kernel sends a
// reset after the answer, which must not hide it.
func TestEarlyAnswersAreRead(t *testing.T) {
	t.Parallel()
	const calls = 60
	image := make([]byte, 8<<20)
	certs := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(certs.Close)
	tests := []struct {
		status int
		class  Class
		secure bool
	}{{413, Rejected, false}, {401, Undocumented, true}, {429, RateLimited, false}, {413, Rejected, true}}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d secure=%t", tt.status, tt.secure), func(t *testing.T) {
			t.Parallel()
			url := wire(t, func(_ int, tcp *net.TCPConn, r *bufio.Reader) {
				var conn net.Conn = tcp
				if tt.secure {
					conn = tls.Server(tcp, &tls.Config{Certificates: certs.TLS.Certificates})
					r = bufio.NewReader(conn)
				}
				if readHeader(r) == nil {
					_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d No\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", tt.status)
				}
			})
			if tt.secure {
				url = strings.Replace(url, "http:", "https:", 1)
			}
			c := testClient(t, url)
			c.transport.TLSClientConfig.RootCAs = rootsOf(certs)
			for i := range calls {
				if r := mask(t.Context(), c, image); r.Class != tt.class || r.HTTPStatus != tt.status || string(r.Body) != "{}" {
					t.Fatalf("call %d: got %v (%v)", i, r, r.Err)
				}
			}
		})
	}
}

// TestCallsAreNeverReplayed covers the cases in which net/http retries on a reused connection.
func TestCallsAreNeverReplayed(t *testing.T) {
	t.Parallel()
	endings := map[string]func(conn *net.TCPConn, r *bufio.Reader){
		"closed after the request": func(_ *net.TCPConn, r *bufio.Reader) { _ = readRequest(r) },
		"reset after the request": func(conn *net.TCPConn, r *bufio.Reader) {
			_ = readRequest(r)
			_ = conn.SetLinger(0)
		},
		"closed after its first byte": func(_ *net.TCPConn, r *bufio.Reader) { _, _ = r.Peek(1) },
	}
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			c := testClient(t, wire(t, func(_ int, conn *net.TCPConn, r *bufio.Reader) {
				requests.Add(1)
				_ = readRequest(r)
				_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
				if _, err := r.Peek(1); err != nil {
					return // the client let the connection go
				}
				requests.Add(1)
				end(conn, r)
			}))
			if r := verify(t.Context(), c); r.HTTPStatus != http.StatusBadGateway {
				t.Fatalf("got %v (%v)", r, r.Err)
			}
			if r := mask(t.Context(), c, bytes.Repeat([]byte("x"), 1000)); r.Class != Lost {
				t.Errorf("got %v (%v)", r, r.Err)
			}
			if requests.Load() != 2 {
				t.Errorf("%d requests for 2 calls", requests.Load())
			}
		})
	}
}

func TestCallsOnStaleConnectionsAreNotReplayed(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	c := testClient(t, wire(t, func(_ int, conn *net.TCPConn, r *bufio.Reader) {
		if readRequest(r) == nil {
			requests.Add(1)
			_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	answered := 0
	for range 200 { // each finds the last one's connection closed, about to be, or gone
		if verify(t.Context(), c).HTTPStatus == http.StatusBadGateway {
			answered++
		}
	}
	if int(requests.Load()) > 200 || answered == 0 {
		t.Errorf("%d requests, %d answers for 200 calls", requests.Load(), answered)
	}
}

func TestTheTimeoutCoversTheWholeCall(t *testing.T) {
	t.Parallel()
	hang := func(t *testing.T, before string) string {
		t.Helper()
		release := make(chan struct{})
		url := wire(t, func(_ int, conn *net.TCPConn, r *bufio.Reader) {
			_ = readRequest(r)
			_, _ = io.WriteString(conn, before)
			<-release
		})
		t.Cleanup(func() { close(release) })
		return url
	}
	for name, before := range map[string]string{
		"no answer": "", "no end of the headers": "HTTP/1.1 200 OK\r\n", "no end of the body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testClient(t, hang(t, before), func(cfg *Config) { cfg.Timeout = 300 * time.Millisecond })
			r := verify(t.Context(), c)
			if r.Class != Lost || !errors.Is(r.Err, context.DeadlineExceeded) || r.Duration > 5*time.Second {
				t.Errorf("got %v (%v)", r, r.Err)
			}
		})
	}
}

// TestHTTP2 runs calls over TLS and HTTP/2.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("protocol %s", r.Proto)
		}
		switch r.URL.Path {
		case "/aadhaar-masking": // early: the image is not read
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		default:
			panic(http.ErrAbortHandler) // resets the stream
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c := testClient(t, srv.URL)
	c.transport.TLSClientConfig.RootCAs = rootsOf(srv)
	for range 20 {
		if r := mask(t.Context(), c, make([]byte, 2<<20)); r.Class != Rejected || r.HTTPStatus != 413 {
			t.Fatalf("got %v (%v)", r, r.Err)
		}
	}
	if r := verify(t.Context(), c); r.Class != Lost {
		t.Errorf("got %v (%v)", r, r.Err)
	}
}
