package dashboard

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// hidden stands where something was that is not of the form that kycq writes.
const hidden = "[hidden]"

// formatPayload shows of a payload which run it is, of which row, and with which key its input is sealed; queue and id
// stand beside it. What it prints are numbers that were read as such. The sealed input itself is not shown: a keyset may
// be lost one day, and screenshots last.
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

// formatResult hides results: kycq writes none.
func formatResult(_ string, result []byte) string {
	if len(result) == 0 {
		return ""
	}
	return hidden
}

// verdictForm is what the error of one of kycq's tasks looks like: the verdict and a code.
var verdictForm = regexp.MustCompile(`^(?:retry|later): ([a-z0-9_.-]+)$`)

// asynqErrors are fixed texts of asynq's own.
var asynqErrors = []string{
	"", asynq.ErrLeaseExpired.Error(), "context deadline exceeded", "context canceled",
	"foreign_task: " + asynq.SkipRetry.Error(),
}

// cleanError lets the errors pass that kycq and asynq write. A task that is not kycq's may hold anything in its error.
func cleanError(text string) string {
	if slices.Contains(asynqErrors, text) {
		return text
	}
	if m := verdictForm.FindStringSubmatch(text); m != nil && worker.KnownCode(m[1]) {
		return text
	}
	return hidden
}

// taskTypes are the types of kycq's own tasks; feed tasks are those of internal/batch.
var taskTypes = []string{tasks.TypeName(tasks.Aadhaar), tasks.TypeName(tasks.Passport), "kycq:feed"}

func cleanType(text string) string {
	if slices.Contains(taskTypes, text) {
		return text
	}
	return hidden
}
