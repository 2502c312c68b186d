package redisx_test

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redisx"
)

func TestARenewalOfImagesIsLateAfterThreeDays(t *testing.T) {
	t.Parallel()
	server, client := fake(t)
	if must[bool](t)(redisx.Renewed(t.Context(), client)) {
		t.Error("renewed before the first renewal")
	}
	check(t, redisx.MarkRenewed(t.Context(), client))
	server.FastForward(redisx.RenewalLate - time.Hour)
	if !must[bool](t)(redisx.Renewed(t.Context(), client)) {
		t.Error("late within three days")
	}
	server.FastForward(2 * time.Hour)
	if must[bool](t)(redisx.Renewed(t.Context(), client)) {
		t.Error("not late after three days")
	}
}
