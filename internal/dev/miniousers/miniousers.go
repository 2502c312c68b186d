// Package miniousers makes users of a MinIO server, each with the policy of a role: for the trial stack and for tests. MinIO has
// this in its admin API only, and its client is in no program for production.
package miniousers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Admin is a connection to the admin API with the root credentials.
type Admin struct{ client *madmin.AdminClient }

// New returns an Admin. endpoint is the URL of the server. It does not connect.
func New(endpoint, user, password string) (*Admin, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("endpoint of MinIO: want http://host:port")
	}
	client, err := madmin.NewWithOptions(u.Host, &madmin.Options{
		Creds: credentials.NewStaticV4(user, password, ""), Secure: u.Scheme == "https",
		Transport: &http.Transport{DisableKeepAlives: true}, // no connections are left to close
	})
	if err != nil {
		return nil, fmt.Errorf("connect to MinIO: %w", err)
	}
	return &Admin{client: client}, nil
}

// Put creates a user, or changes its secret key, and gives it a policy of the same name, and no other. It may be repeated.
func (a *Admin) Put(ctx context.Context, user, secret string, policy []byte) error {
	if err := a.client.AddCannedPolicy(ctx, user, policy); err != nil {
		return fmt.Errorf("put the policy %s: %w", user, err)
	}
	if err := a.client.AddUser(ctx, user, secret); err != nil {
		return fmt.Errorf("put the user %s: %w", user, err)
	}
	if err := a.client.SetPolicy(ctx, user, user, false); err != nil { //nolint:staticcheck // AttachPolicy fails if it is attached
		return fmt.Errorf("give %s its policy: %w", user, err)
	}
	return nil
}

// Remove deletes a user and its policy.
func (a *Admin) Remove(ctx context.Context, user string) error {
	if err := a.client.RemoveUser(ctx, user); err != nil {
		return fmt.Errorf("remove the user %s: %w", user, err)
	}
	return a.client.RemoveCannedPolicy(ctx, user)
}
