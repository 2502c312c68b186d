package audit_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/internal/audit"
)

func macWith(key string) audit.MAC {
	return func(text []byte) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write(text)
		return fmt.Sprintf("%x", h.Sum(nil))
	}
}

var testMAC = macWith("specimen key")

func macTrail(t *testing.T, bucket audit.Bucket, user string, mac audit.MAC) *audit.Trail {
	t.Helper()
	trail, err := audit.New(audit.Config{Bucket: bucket, User: user, Host: "ops1", MAC: mac})
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

const indexKey = "audit/index.json"

// rewrite makes a chain anew from event from on, as a forger does who knows the form but not the key.
func rewrite(m *memory, from, to int, edit func(string) string) {
	hash := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	prev := regexp.MustCompile(`"prev":"[0-9a-f]*"`)
	for seq := from; seq <= to; seq++ {
		line := edit(m.text(key(seq)))
		if seq > 1 {
			line = prev.ReplaceAllString(line, `"prev":"`+hash(m.text(key(seq-1)))+`"`)
		}
		m.set(key(seq), line)
	}
	m.set(headKey, fmt.Sprintf(`{"seq":%d,"hash":"%s"}`, to, hash(m.text(key(to)))))
}

func TestNobodyWithoutTheKeyRewritesOrRemovesAChain(t *testing.T) {
	t.Parallel()
	stripMAC := func(line string) string { return regexp.MustCompile(`,"mac":"[0-9a-f]*"`).ReplaceAllString(line, "") }
	other := func(line string) string { return strings.Replace(line, "bank", "bonk", 1) }
	all := []string{key(1), key(2), key(3), headKey}
	var old string
	for name, tc := range map[string]struct {
		tamper func(m *memory)
		want   []string
	}{
		"nothing":                  {func(*memory) {}, nil},
		"reason changed, rehashed": {func(m *memory) { rewrite(m, 2, 3, other) }, []string{"mac_wrong 2", "mac_wrong 3"}},
		"changed without MACs":     {func(m *memory) { rewrite(m, 2, 3, func(l string) string { return stripMAC(other(l)) }) }, []string{"unsigned 3"}},
		"whole chain without MACs": {func(m *memory) { rewrite(m, 1, 3, stripMAC) }, []string{"unsigned 3"}},
		"chain removed":            {func(m *memory) { m.remove(all...) }, []string{"missing 0"}},
		"index removed":            {func(m *memory) { m.remove(indexKey) }, []string{"index_lost 0", "index_lost 0"}},
		"index emptied":            {func(m *memory) { m.set(indexKey, "{}") }, []string{"index_lost 0"}},
		"chain out of the index": {func(m *memory) {
			m.remove(all...)
			m.set(indexKey, strings.Replace(m.text(indexKey), "anil", "amol", 1))
		}, []string{"index_lost 0"}},
		"chain and its MACs hidden": {func(m *memory) {
			rewrite(m, 1, 3, stripMAC)
			m.set(indexKey, `{"version":1,"signed":[],"unsigned":["anil_ops1"]}`)
		}, []string{"index_lost 0"}},
		"index set back": {func(m *memory) { m.set(indexKey, old) }, []string{"index_lost 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			appendN(t, macTrail(t, m, "anil", testMAC), 3)
			old = m.text(indexKey)
			appendN(t, macTrail(t, m, "zoya", testMAC), 2)
			tc.tamper(m)
			report, err := audit.Verify(t.Context(), m, testMAC)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range report.Findings {
				got = append(got, fmt.Sprintf("%s %d", f.Code, f.Seq))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAChainOfAnEarlierVersionGetsMACsFromItsNextEntryOn(t *testing.T) {
	t.Parallel()
	m := newMemory()
	appendN(t, macTrail(t, m, "anil", nil), 2)
	m.remove(indexKey)
	appendN(t, macTrail(t, m, "anil", testMAC), 2)
	appendN(t, macTrail(t, m, "dash", nil), 1) // a process without the keyset
	report, err := audit.Verify(t.Context(), m, testMAC)
	if err != nil || len(report.Findings) > 0 || report.Chains[0].MACs != 2 || report.Chains[1].MACs != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	m.remove("audit/dash_ops1/000000000001.json", "audit/dash_ops1/head.json")
	if got := codes(t, m); !cmp.Equal(got, []string{"missing 0"}) {
		t.Errorf("after the removal of a chain without MACs: %v", got)
	}
}

func TestAnotherKeysetIsNamed(t *testing.T) {
	t.Parallel()
	m := newMemory()
	appendN(t, macTrail(t, m, "anil", testMAC), 1)
	if _, err := macTrail(t, m, "zoya", macWith("other")).Append(t.Context(), reveal); err == nil {
		t.Error("an index of another key was continued: a new MAC hides what was changed in it")
	}
}
