package deploy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/access"
)

var update = flag.Bool("update", false, "write the policies")

// same compares a file with what it must contain.
func same(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what package access says (go test ./deploy -update): %v", path, err)
	}
}

func TestThePoliciesAreThoseOfPackageAccess(t *testing.T) {
	t.Parallel()
	names := map[string]string{access.Inbox: "kycq-inbox", access.Masked: "kycq-masked", access.Records: "kycq-records"}
	for _, role := range access.Roles() {
		same(t, filepath.Join("s3", string(role)+".json"), string(access.Policy(access.S3(role), names)))
	}
	acl := func(password func(access.Role) string) string {
		// Without a password, the default user may answer health checks only.
		lines := []string{"user default on nopass resetkeys resetchannels -@all +ping"}
		for _, role := range access.Roles() {
			lines = append(lines, access.RedisOf(role).ACL("kycq-"+string(role), password(role)))
		}
		return strings.Join(lines, "\n") + "\n"
	}
	same(t, "redis/users.acl", acl(func(access.Role) string { return "resetpass" }))
	same(t, "compose/secrets/redis_users", acl(func(role access.Role) string {
		sum := sha256.Sum256([]byte(trialPassword(role)))
		return "#" + hex.EncodeToString(sum[:])
	}))
	for _, role := range access.Roles() {
		same(t, "compose/secrets/redis_url_"+string(role), fmt.Sprintf("redis://kycq-%s:%s@redis:6379/0\n", role, trialPassword(role)))
		if role == access.Dashboard {
			continue // it has none in S3
		}
		same(t, "compose/secrets/s3_"+string(role), fmt.Sprintf("[default]\naws_access_key_id = kycq-%s\naws_secret_access_key = %s\n", role, trialPassword(role)))
	}
}

// trialPassword is that of a role in the trial stack.
func trialPassword(role access.Role) string { return "specimen-" + string(role) + "-password" }
