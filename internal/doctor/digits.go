package doctor

import (
	"context"

	"github.com/kycq/kycq/internal/digits"
)

func checkDigits(_ context.Context, t Target) []Finding {
	const check = "digit-check"
	switch {
	case t.DigitErr != nil && t.DigitRequired:
		return []Finding{failure(check, Settings, "KYCQ_DIGIT_CHECK=require: "+t.DigitErr.Error()+"; a worker would not start here", digits.Install)}
	case t.DigitErr != nil:
		return []Finding{warning(check, "off: "+t.DigitErr.Error(), digits.Install)}
	case t.DigitCheck == "off":
		return []Finding{fine(check, "off: readable numbers in masked images are not looked for (KYCQ_DIGIT_CHECK)")}
	case t.DigitCheck == "":
		return []Finding{skipped(check, "fix the settings first")}
	}
	return []Finding{fine(check, t.DigitCheck)}
}
