package dashboard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// hidden replaces text that kycq has not written.
const hidden = "[hidden]"

// batchID is the form of a batch's id.
var batchID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,80}$`)

// formatPayload tells rows apart, since asynqmon cuts ids at the first hyphen: "passport ABC-123 (batch people-1f00c3aa, line 17)". It
// also shows the id of the key of the sealed input, but not the sealed input: screenshots may outlive the secrecy of a keyset.
func formatPayload(taskType string, payload []byte) string {
	if taskType == feedType && batchID.Match(payload) {
		return "feeds batch " + string(payload)
	}
	p, err := tasks.DecodePayload(payload)
	if err != nil || taskType != tasks.TypeName(p.Kind) || tasks.ValidateID(p.VerificationID) != nil {
		return hidden
	}
	var details []string
	if batchID.MatchString(p.Batch) {
		details = append(details, "batch "+p.Batch, fmt.Sprintf("line %d", p.Line))
	}
	if p.Run > 1 {
		details = append(details, fmt.Sprintf("run %d", p.Run))
	}
	if id, ok := seal.KeyID(p.SealedInput); ok {
		details = append(details, fmt.Sprintf("key %d", id))
	} else {
		details = append(details, "not sealed")
	}
	return fmt.Sprintf("%s %s (%s)", p.Kind, p.VerificationID, strings.Join(details, ", "))
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

// feedType is the type of internal/batch's tasks.
const feedType = "kycq:feed"

// taskTypes are the types of kycq's own tasks.
var taskTypes = []string{tasks.TypeName(tasks.Aadhaar), tasks.TypeName(tasks.Passport), feedType}

func cleanType(text string) string {
	if slices.Contains(taskTypes, text) {
		return text
	}
	return hidden
}
