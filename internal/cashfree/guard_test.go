package cashfree

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

func TestOnlyPublicAddressesPass(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.255",
		"2606:4700::1111", "2404:6800::1", "2001:200::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
	} {
		if err := checkAddress(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254",
		"168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
		"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1",
		"2001::1", "2001:2::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1",
		"fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2606:4700::1111%eth0",
	} {
		if err := checkAddress(netip.MustParseAddr(s)); !errors.Is(err, refusedAddress) {
			t.Errorf("%s passes (%v)", s, err)
		}
	}
}

// trap is a server on loopback that must not get a connection, and a fetcher whose public dials fail.
type trap struct {
	fetcher  *fetcher
	port     string
	accepted atomic.Int32
	public   atomic.Int32 // dials that passed the guard
}

var errWouldDial = errors.New("test: would leave for a public address")

func newTrap(t *testing.T, dns ...netip.Addr) *trap {
	t.Helper()
	tr := &trap{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("\xff\xd8\xff"))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			tr.accepted.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	_, tr.port, _ = net.SplitHostPort(srv.Listener.Addr().String())
	tr.fetcher = newFetcher(nil, 5*time.Second, "kycq", net.Dialer{
		Resolver: fakeDNS(t, dns),
		ControlContext: func(context.Context, string, string, syscall.RawConn) error {
			tr.public.Add(1)
			return errWouldDial
		},
	})
	t.Cleanup(tr.fetcher.transport.CloseIdleConnections)
	return tr
}

// TestHostileLinksAreNotDialed: each link is refused, and the listener on loopback gets no connection. PORT is that of the
// listener.
func TestHostileLinksAreNotDialed(t *testing.T) {
	t.Parallel()
	links := []string{
		"https://127.0.0.1:PORT/", "https://127.1:PORT/", "https://127.0.1:PORT/", "https://2130706433:PORT/", "https://0x7f000001:PORT/",
		"https://0x7f.0.0.1:PORT/", "https://0X7F.1:PORT/", "https://0177.0.0.1:PORT/", "https://017700000001:PORT/", "https://127.0.0.1.:PORT/",
		"https://0.0.0.0:PORT/", "https://0:PORT/", "https://localhost:PORT/", "https://LOCALHOST.:PORT/", "https://[::1]:PORT/", "https://[::]:PORT/",
		"https://[::ffff:127.0.0.1]:PORT/", "https://[::ffff:7f00:1]:PORT/", "https://[64:ff9b::7f00:1]:PORT/", "https://[2002:7f00:1::]:PORT/",
		"https://[fe80::1%25lo]:PORT/", "https://[::1%25lo]:PORT/", "https://１２７.0.0.1:PORT/", "https://127。0。0。1:PORT/", "https://①②⑦.0.0.1:PORT/",
		"https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/latest/", "https://100.100.100.200/", "https://168.63.129.16/",
		"https://10.0.0.1/", "https://192.168.0.1/", "https://172.16.0.1/", "https://255.255.255.255/", "https://224.0.0.1/",
		"http://127.0.0.1:PORT/", "http://public.example:PORT/", "http://8.8.8.8/", "HTTP://public.example/",
		"https://user:pw@127.0.0.1:PORT/", "https://user@public.example/", "https://public.example@127.0.0.1:PORT/", "https://public.example:443@127.0.0.1:PORT/",
		"https://private.example:PORT/", "https://private.example.:PORT/", "https://PRIVATE.example:PORT/",
		"file:///etc/passwd", "ftp://127.0.0.1:PORT/", "gopher://127.0.0.1:PORT/", "unix:///var/run/docker.sock", "data:image/png;base64,AAAA",
		"//127.0.0.1:PORT/", "/etc/passwd", "127.0.0.1:PORT", "https:127.0.0.1:PORT", "https:/127.0.0.1:PORT/", "https://", "https://:PORT/", "https:///x", "", " ",
		"https://127.0.0.1:PORT\\@public.example/", "https://public.example\\@127.0.0.1:PORT/", "https://127.0.0.1:PORT\r\n/", "https://%31%32%37.0.0.1:PORT/",
		"https://a..:PORT/",
	}
	for _, link := range links {
		t.Run(link, func(t *testing.T) {
			t.Parallel()
			tr := newTrap(t, netip.MustParseAddr("127.0.0.1"))
			_, err := tr.fetcher.fetch(t.Context(), redact.NewSecret(strings.ReplaceAll(link, "PORT", tr.port)))
			var linkErr *LinkError
			if !errors.As(err, &linkErr) || !linkErr.Refused || linkErr.Gone {
				t.Errorf("got %v", err)
			}
			if tr.accepted.Load() != 0 || tr.public.Load() != 0 {
				t.Errorf("%d connections to loopback, %d elsewhere", tr.accepted.Load(), tr.public.Load())
			}
			if err != nil && (strings.Contains(err.Error(), "127.0") || strings.Contains(err.Error(), "example") || strings.Contains(err.Error(), tr.port)) {
				t.Errorf("the error contains the link: %v", err)
			}
		})
	}
}

// TestDNSRebindingIsRefused: the name resolves to a public address first, and to loopback later.
func TestDNSRebindingIsRefused(t *testing.T) {
	t.Parallel()
	public, private := netip.MustParseAddr("93.184.215.14"), netip.MustParseAddr("127.0.0.1")
	tr := newTrap(t, public, private, public, private)
	refused := 0
	for range 4 {
		_, err := tr.fetcher.fetch(t.Context(), redact.NewSecret("https://rebind.example:"+tr.port+"/"))
		var linkErr *LinkError
		if !errors.As(err, &linkErr) {
			t.Fatalf("got %v", err)
		}
		if linkErr.Refused {
			refused++
		}
	}
	if refused != 2 || tr.public.Load() != 2 || tr.accepted.Load() != 0 {
		t.Errorf("%d refused, %d public dials, %d connections to loopback", refused, tr.public.Load(), tr.accepted.Load())
	}
}

func TestAPublicNameIsDialed(t *testing.T) {
	t.Parallel()
	tr := newTrap(t, netip.MustParseAddr("93.184.215.14"))
	for _, link := range []string{"https://images.example/x?token=y#z", "https://8.8.8.8/", "https://[2606:4700::1111]/", "https://xn--bcher-kva.example/", "https://4ever.example/"} {
		before := tr.public.Load()
		_, err := tr.fetcher.fetch(t.Context(), redact.NewSecret(link))
		var linkErr *LinkError
		if !errors.As(err, &linkErr) || linkErr.Refused || linkErr.Gone || tr.public.Load() == before {
			t.Errorf("%s: got %v", link, err)
		}
	}
}

func TestOnlyConfiguredHostsAreAllowed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		entry string
		link  string
		open  bool
	}{
		"any port":          {"127.0.0.1", "http://127.0.0.1:PORT/", true},
		"this port":         {"127.0.0.1:PORT", "http://127.0.0.1:PORT/", true},
		"name":              {"private.example", "http://private.example:PORT/", true},
		"case, dot":         {"Private.Example", "http://pRIVATE.example.:PORT/", true},
		"another port":      {"127.0.0.1:1", "http://127.0.0.1:PORT/", false},
		"another name":      {"private.example", "http://127.0.0.1:PORT/", false},
		"name below":        {"example", "http://private.example:PORT/", false},
		"same address":      {"127.0.0.1", "https://private.example:PORT/", false},
		"user name, anyway": {"127.0.0.1", "http://u:p@127.0.0.1:PORT/", false},
		"scheme, anyway":    {"127.0.0.1", "ftp://127.0.0.1:PORT/", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrap(t, netip.MustParseAddr("127.0.0.1"))
			hosts, err := parseImageHosts([]string{strings.ReplaceAll(tt.entry, "PORT", tr.port)})
			if err != nil {
				t.Fatal(err)
			}
			f := newFetcher(hosts, 5*time.Second, "kycq", net.Dialer{Resolver: fakeDNS(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")})})
			t.Cleanup(f.transport.CloseIdleConnections)
			_, err = f.fetch(t.Context(), redact.NewSecret(strings.ReplaceAll(tt.link, "PORT", tr.port)))
			if (err == nil) != tt.open || (tr.accepted.Load() == 1) != tt.open {
				t.Errorf("got %v, %d connections", err, tr.accepted.Load())
			}
		})
	}
}

// fakeDNS answers the nth query for an A record with the nth address, later ones with the last. It has no AAAA records.
func fakeDNS(t *testing.T, answers []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			reply, isA := dnsReply(buf[:n], answers)
			if isA && len(answers) > 1 {
				answers = answers[1:]
			}
			_, _ = conn.WriteTo(reply, from)
		}
	}()
	var mu sync.Mutex
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsReply answers the question of a query (RFC 1035, section 4).
func dnsReply(query []byte, answers []netip.Addr) (reply []byte, isA bool) {
	const header, typeA = 12, 1
	end := header
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	isA = binary.BigEndian.Uint16(query[end-4:]) == typeA
	reply = append(reply, query[:end]...)
	binary.BigEndian.PutUint16(reply[2:], 0x8180)   // an answer, no error
	copy(reply[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0}) // one question
	if !isA {
		return reply, false
	}
	binary.BigEndian.PutUint16(reply[6:], 1) // one answer
	ip := answers[0].As4()
	reply = append(reply, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4)
	return append(reply, ip[:]...), true
}
