package cashfree

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// refusal is the reason why a link is not fetched, as a fixed text.
type refusal string

func (r refusal) Error() string { return "refused: " + string(r) }

const (
	refusedForm      refusal = "not an absolute https link"
	refusedUser      refusal = "the link contains a user name"
	refusedHost      refusal = "the host is neither a name nor an address"
	refusedAddress   refusal = "not a public address"
	refusedRedirect  refusal = "the link redirects"
	refusedTooLarge  refusal = "the image is larger than 20 MB"
	refusedPlainHTTP refusal = "the link is not https"
)

// imageHosts are the hosts of Config.ImageHosts, as "host" or "host:port" in lower case.
type imageHosts map[string]bool

func parseImageHosts(entries []string) (imageHosts, error) {
	hosts := imageHosts{}
	for _, entry := range entries {
		host, port, err := net.SplitHostPort(entry)
		if err != nil {
			host, port = strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]"), ""
		} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return nil, fmt.Errorf("%q: the port is not a number", entry)
		}
		if host == "" || strings.ContainsAny(host, "/@?#*[] ") {
			return nil, fmt.Errorf("%q: want host or host:port", entry)
		}
		hosts[hostKey(host, port)] = true
	}
	return hosts, nil
}

func hostKey(host, port string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}

func (h imageHosts) allow(host, port string) bool {
	return h[hostKey(host, "")] || h[hostKey(host, port)]
}

// checkLink checks a link without name lookup. The address is checked at dial time by control; through a proxy it cannot be,
// so that only listed hosts are allowed.
func (h imageHosts) checkLink(link string, proxied bool) (*url.URL, error) {
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return nil, refusedForm
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	open := h.allow(u.Hostname(), port)
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, refusedForm
	case proxied:
		return u, h.checkProxied(u, port)
	case u.Scheme == "http" && !open:
		return nil, refusedPlainHTTP
	case u.User != nil:
		return nil, refusedUser
	case open:
		return u, nil
	}
	return u, checkHost(u.Hostname())
}

// checkHost checks literal addresses, and refuses names such as 2130706433, 0x7f000001 and 0177.1, which some resolvers
// (inet_aton) treat as addresses. No public name ends with a numeric label (WHATWG URL, "ends in a number").
func checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return checkAddress(addr)
	}
	if strings.ContainsAny(host, "%:") {
		return refusedHost
	}
	name := strings.TrimSuffix(host, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || isNumeric(last) {
		return refusedHost
	}
	return nil
}

func isNumeric(label string) bool {
	if hex, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// PublicOnly is a net.Dialer hook that refuses addresses which are not public.
func PublicOnly(network, address string, c syscall.RawConn) error {
	return control(network, address, c)
}

// control is a net.Dialer hook. It gets the address after name lookup, immediately before the connect, which defeats DNS
// rebinding.
func control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return refusedAddress
	}
	return checkAddress(ap.Addr())
}

// nat64 is the well-known prefix of RFC 6052, with which IPv6-only networks reach IPv4 hosts. The embedded IPv4 address is
// checked.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// checkAddress accepts public unicast addresses only.
func checkAddress(addr netip.Addr) error {
	if addr.Zone() != "" {
		return refusedAddress
	}
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if addr.Is6() && !globalUnicast6.Contains(addr) {
		return refusedAddress
	}
	for _, p := range notPublic {
		if p.Contains(addr) {
			return refusedAddress
		}
	}
	return nil
}

// globalUnicast6 is the allocated part of IPv6. It excludes loopback, unspecified, IPv4-compatible, local-use NAT64
// (64:ff9b:1::/48), discard, segment routing, unique local, link-local, site-local and multicast.
var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// notPublic are the ranges that are not globally reachable by the IANA special-purpose registries (RFC 6890 and
// successors), multicast, and a cloud metadata address in public space.
var notPublic = mustPrefixes(
	"0.0.0.0/8",        // this network; 0.0.0.0 is loopback to Linux
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carrier-grade NAT; Alibaba's metadata 100.100.100.200
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's host services
	"169.254.0.0/16",   // link-local; metadata 169.254.169.254
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // IETF protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarking
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // class E, broadcast
	"2001::/23",        // IETF protocol assignments: Teredo, ORCHID, benchmarking
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4: carries any IPv4 address
	"3fff::/20",        // documentation
)

func mustPrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		prefixes[i] = netip.MustParsePrefix(s)
	}
	return prefixes
}
