package faults

import (
	"encoding/json"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy is a TCP proxy between the workers and a server whose connections can be disturbed.
type proxy struct {
	t    testing.TB
	tcp  *toxiproxy.Proxy
	addr string
}

func startProxy(t testing.TB, upstream string) *proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &proxy{t: t, tcp: toxiproxy.NewProxy(server, "proxy", "127.0.0.1:0", upstream)}
	check(t, p.tcp.Start())
	t.Cleanup(p.tcp.Stop)
	p.addr = p.tcp.Listen
	return p
}

// toxic is one kind of disturbance: see toxiproxy's README for types and attributes.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream or downstream
	Attributes map[string]any `json:"attributes"`
}

func (p *proxy) addToxic(t toxic) {
	p.t.Helper()
	t.Name = t.Type + "_" + t.Stream
	text, err := json.Marshal(t)
	check(p.t, err)
	_, err = p.tcp.Toxics.AddToxicJson(strings.NewReader(string(text)))
	check(p.t, err)
}

// removeToxics restores the connections.
func (p *proxy) removeToxics() { p.tcp.Toxics.ResetToxics(p.t.Context()) }

// refuse closes every connection and accepts no new one, until accept.
func (p *proxy) refuse() { p.tcp.Stop() }

func (p *proxy) accept() {
	p.t.Helper()
	check(p.t, p.tcp.Start())
}
