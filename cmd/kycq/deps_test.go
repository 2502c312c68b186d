package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The production binary must not link the development tools, nor their dependencies.
func TestProductionLinksNoDevelopmentCode(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, out)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("go list names %d packages only", len(deps))
	}
	for _, pkg := range deps {
		for _, banned := range []string{
			"github.com/kycq/kycq/internal/dev", "github.com/kycq/kycq/internal/testenv", "github.com/kycq/kycq/internal/faults",
			"github.com/kycq/kycq/storage/storagetest", "github.com/kycq/kycq/examples",
			"github.com/alicebob/miniredis", "github.com/johannesboyne/gofakes3", "github.com/Shopify/toxiproxy",
			"golang.org/x/image/font", "github.com/golang/freetype", "testing",
		} {
			if pkg == banned || strings.HasPrefix(pkg, banned+"/") {
				t.Errorf("cmd/kycq links %s", pkg)
			}
		}
	}
}
