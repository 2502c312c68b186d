package worker

import (
	"context"
	"fmt"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// If maskLimit of the last maskWindow masked images went to quarantine, further calls would be paid for and end there as well.
const (
	maskWindow = 20
	maskLimit  = 10
)

// countMask counts how a card has ended, and puts the kind on hold at maskLimit. It may be repeated.
func (d *delivery) countMask(ctx context.Context) error {
	bad := d.rec.State == storage.StateFailed && d.rec.Code == unsafeMask
	decided := d.rec.Review != "" && !d.rec.NeedsReview()
	if d.rec.Kind != tasks.Aadhaar || !bad && d.rec.State != storage.StateValid || decided || d.rec.Erased != nil {
		return nil
	}
	h := hold.Hold{
		Cause: hold.MaskCheck, Kind: string(d.rec.Kind), Code: unsafeMask,
		NextAction: "look at the images (`kycq review list`), find out why they fail, then run `kycq fleet resume --cause mask_check`",
	}
	end := hold.End{Job: tasks.TaskID(d.rec.VerificationID, d.rec.Run), At: d.rec.CompletedAt, Bad: bad}
	n, of, err := d.Gate.CountEnd(ctx, h, end, maskWindow)
	if err != nil || n < maskLimit {
		return err
	}
	h.Reason = fmt.Sprintf("%d of the last %d masked images failed the check", n, of)
	return d.raiseHold(ctx, h)
}
