//go:build sabotage

package sabotage

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Enabled tells whether this is a build that can be broken on purpose.
const Enabled = true

var (
	killStep, killCount = parseKill(os.Getenv("KYCQ_SABOTAGE_KILL"))
	mutation            = Mutation(os.Getenv("KYCQ_SABOTAGE_MUTATION"))
	reached             atomic.Int64
)

// At ends the process with SIGKILL at the step and count that KYCQ_SABOTAGE_KILL names ("sent-written" or
// "sent-written:3" for the third time).
func At(s Step) {
	if s != killStep || reached.Add(1) != killCount {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal is delivered
}

// Broken tells whether KYCQ_SABOTAGE_MUTATION leaves this precaution out.
func Broken(m Mutation) bool { return m == mutation }

func parseKill(s string) (Step, int64) {
	name, count, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	return Step(name), n
}
