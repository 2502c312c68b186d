package dashboard

import "github.com/kycq/kycq/internal/redact"

// NewCheapLogin accepts hashes of any cost.
func NewCheapLogin(users, token redact.Secret) (*Login, error) { return newLogin(users, token, 0) }
