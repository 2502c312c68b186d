package faults

import (
	"encoding/json"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy stands between the workers and a server, and spoils the connections that run through it.
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

// toxic is one way to spoil a connection; see toxiproxy's README for types and attributes.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream or downstream
	Attributes map[string]any `json:"attributes"`
}

func (p *proxy) spoil(poison toxic) {
	p.t.Helper()
	poison.Name = poison.Type + "_" + poison.Stream
	text, err := json.Marshal(poison)
	check(p.t, err)
	_, err = p.tcp.Toxics.AddToxicJson(strings.NewReader(string(text)))
	check(p.t, err)
}

// heal takes every toxic away.
func (p *proxy) heal() { p.tcp.Toxics.ResetToxics(p.t.Context()) }

// refuse closes every connection and takes no new one, until accept.
func (p *proxy) refuse() { p.tcp.Stop() }

func (p *proxy) accept() {
	p.t.Helper()
	check(p.t, p.tcp.Start())
}
