package dashboard

import (
	"time"

	"github.com/kycq/kycq/internal/redact"
)

// NewCheapLogin accepts hashes of any cost.
func NewCheapLogin(users, token redact.Secret) (*Login, error) { return newLogin(users, token, 0) }

// Freeze stops the clock, and returns what moves it: what tests see does not depend on the speed of the machine.
func (l *Login) Freeze() (forward func(time.Duration)) {
	now := time.Now()
	l.now = func() time.Time { return now }
	return func(d time.Duration) { now = now.Add(d) }
}

// HashCheaply is HashUser with another cost.
func HashCheaply(name, password string, cost int) (string, error) {
	return hashUser(name, password, cost)
}

const HashCost, MinCost, MaxCost = hashCost, minCost, maxCost
