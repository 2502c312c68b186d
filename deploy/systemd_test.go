package deploy_test

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/config"
)

// unit is the settings of a unit file, each with all its values.
func unit(t *testing.T, path string) map[string][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found := map[string][]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && !strings.HasPrefix(name, "#") {
			found[name] = append(found[name], value)
		}
	}
	return found
}

func TestUnitsAreHardenedAndNameWhatExists(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob("systemd/*.service")
	if err != nil || len(units) != 2 {
		t.Fatalf("%v, %v", units, err)
	}
	for _, path := range units {
		u := unit(t, path)
		for name, want := range map[string]string{
			"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
			"CapabilityBoundingSet": "", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "TimeoutStopSec": "60", "LimitCORE": "0",
			"SystemCallErrorNumber": "EPERM",
		} {
			if got := u[name]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		for _, e := range u["Environment"] {
			name, value, _ := strings.Cut(e, "=")
			if strings.HasPrefix(name, "KYCQ_") && !config.KnownVariable(name) {
				t.Errorf("%s: kycq does not know %s", path, name)
			}
			// %d is the folder of LoadCredential.
			if credential, ok := strings.CutPrefix(value, "%d/"); ok && !slices.ContainsFunc(u["LoadCredential"], func(l string) bool { return strings.HasPrefix(l, credential+":/etc/kycq/") }) {
				t.Errorf("%s: nothing loads the credential %s", path, credential)
			}
		}
	}
}
