package dashboard

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// hidden replaces text that kycq has not written.
const hidden = "[hidden]"

// formatPayload shows run, row and the id of the key of the sealed input. All are numbers. It does not show the sealed
// input: screenshots may outlive the secrecy of a keyset.
func formatPayload(taskType string, payload []byte) string {
	p, err := tasks.DecodePayload(payload)
	if err != nil || taskType != tasks.TypeName(p.Kind) {
		return hidden
	}
	text := fmt.Sprintf("run %d", p.Run)
	if p.Row > 0 {
		text += fmt.Sprintf(", row %d", p.Row)
	}
	if id, ok := seal.KeyID(p.SealedInput); ok {
		return text + fmt.Sprintf(", key %d", id)
	}
	return text + ", not sealed"
}

// formatResult hides all results: kycq writes none.
func formatResult(_ string, result []byte) string {
	if len(result) == 0 {
		return ""
	}
	return hidden
}

// verdictText is the error text of kycq's own tasks: a verdict and a code.
var verdictText = regexp.MustCompile(`^(?:retry|later): ([a-z0-9_.-]+)$`)

// asynqErrors are the fixed error texts of asynq.
var asynqErrors = []string{
	"", asynq.ErrLeaseExpired.Error(), "context deadline exceeded", "context canceled",
	"foreign_task: " + asynq.SkipRetry.Error(),
}

// cleanError hides every error text except those of kycq and asynq.
func cleanError(text string) string {
	if slices.Contains(asynqErrors, text) {
		return text
	}
	if m := verdictText.FindStringSubmatch(text); m != nil && advice.Known(m[1]) {
		return text
	}
	return hidden
}

// taskTypes are the types of kycq's own tasks; the last one is that of internal/batch.
var taskTypes = []string{tasks.TypeName(tasks.Aadhaar), tasks.TypeName(tasks.Passport), "kycq:feed"}

func cleanType(text string) string {
	if slices.Contains(taskTypes, text) {
		return text
	}
	return hidden
}
