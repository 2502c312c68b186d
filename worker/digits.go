package worker

import (
	"context"
	"errors"

	"github.com/kycq/kycq/internal/digits"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/storage"
)

// The reviews of an image in quarantine that maskcheck did not refuse.
const (
	ReadableNumber = "readable_number" // Tesseract read an Aadhaar number
	DigitsUnread   = "digits_unread"   // Tesseract failed to read the image
)

// checkDigits looks for a readable number in the file that is about to be stored. The error is a *maskcheck.UnsafeError if it
// must not be.
func (d *delivery) checkDigits(ctx context.Context, file []byte) error {
	if d.HasNumber == nil {
		return nil
	}
	switch found, err := d.HasNumber(ctx, file); {
	case errors.Is(err, digits.ErrUnread):
		d.log.Warn().Err(err).Msg("the digits of the masked image are not checked")
		return &maskcheck.UnsafeError{Code: DigitsUnread}
	case err != nil:
		return err
	case found:
		return &maskcheck.UnsafeError{Code: ReadableNumber}
	}
	return nil
}

// digitCheck is what the record says about the digit check of an image that was refused with a code, or not refused. It is
// empty if the image was refused before its digits were read.
func (d *delivery) digitCheck(code string) string {
	switch {
	case d.HasNumber == nil:
		return storage.DigitCheckOff
	case code == "", code == ReadableNumber:
		return storage.DigitCheckDone
	}
	return ""
}
