package wire

import (
	"context"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/digits"
)

// OpenDigits opens Tesseract, unless the settings say off. Then the Reader is nil.
func OpenDigits(ctx context.Context, cfg *config.Config) (*digits.Reader, error) {
	if cfg.DigitCheck == "off" {
		return nil, nil
	}
	return digits.Open(ctx)
}
