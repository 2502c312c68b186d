// Package loopback recognizes addresses of this machine.
package loopback

import (
	"net"
	"net/netip"
	"strings"
)

// Is reports whether address, which is "host:port" or "host", is localhost or a loopback IP address. It does not resolve
// names: a page from elsewhere can make its own name resolve to 127.0.0.1.
func Is(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
