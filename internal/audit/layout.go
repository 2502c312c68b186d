package audit

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The key layout: audit/<writer>/<seq, 12 digits>.json, audit/<writer>/head.json and audit/index.json.
const (
	prefix   = "audit/"
	headName = "head.json"
)

var seqForm = regexp.MustCompile(`^[0-9]{12}\.json$`)

func eventKey(writer string, seq int64) string {
	return fmt.Sprintf("%s%s/%012d.json", prefix, writer, seq)
}

func headKey(writer string) string { return prefix + writer + "/" + headName }

// parseKey parses a key; seq is 0 for a head. ok is false if the trail does not write such keys.
func parseKey(key string) (writer string, seq int64, ok bool) {
	writer, name, found := strings.Cut(strings.TrimPrefix(key, prefix), "/")
	switch {
	case !found || writer == "" || !strings.HasPrefix(key, prefix):
		return "", 0, false
	case name == headName:
		return writer, 0, true
	case !seqForm.MatchString(name):
		return writer, 0, false
	}
	seq, err := strconv.ParseInt(strings.TrimSuffix(name, ".json"), 10, 64)
	return writer, seq, err == nil && seq > 0
}

// writerName joins user and host with an underscore, which neither part contains.
func writerName(user, host string) string { return clean(user) + "_" + clean(host) }

// clean keeps letters, digits, dots and hyphens, up to 64. If that changes a name, it appends a part of its hash, to keep
// names distinct.
func clean(name string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, name)
	kept = kept[:min(len(kept), 64)]
	if kept != name {
		kept += "-" + hash([]byte(name))[:8]
	}
	return kept
}
