package redisx_test

import (
	"crypto/rand"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

// aclRule is one rule of an ACL line; a selector is in parentheses.
var aclRule = regexp.MustCompile(`\([^)]*\)|\S+`)

// userURL makes a Redis user with an ACL line of package access, and returns the URL with which it connects.
func userURL(t *testing.T, server string, rights access.Redis) string {
	t.Helper()
	admin := open(t, server)
	name := "kycq-test-" + rand.Text()
	rules := aclRule.FindAllString(rights.ACL(name, ">specimen"), -1)[2:] // without "user name"
	args := []any{"ACL", "SETUSER", name}
	for _, r := range rules {
		args = append(args, r)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Do(t.Context(), "ACL", "DELUSER", name) })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "specimen")
	return u.String()
}

func complaint(t *testing.T, client redis.UniversalClient, role access.Role) string {
	t.Helper()
	found, err := redisx.Check(t.Context(), client, role)
	if f, ok := redisx.Explain(err); ok {
		return f.Message
	}
	if err != nil {
		return err.Error()
	}
	var text string
	for _, f := range found {
		if f.Code != "persistence" {
			text += f.Message
		}
	}
	return text
}

// Each role's user has no complaint; with one rule less, that rule is named, and no other.
func TestAMissingPermissionOfRedisIsNamed(t *testing.T) {
	t.Parallel()
	server := testenv.Redis(t)
	for _, role := range access.Roles() {
		all := access.RedisOf(role)
		if got := complaint(t, open(t, userURL(t, server, all)), role); got != "" {
			t.Errorf("%s: %s", role, got)
		}
		if all.Selector != "" {
			less := all
			less.Selector = ""
			if got := complaint(t, open(t, userURL(t, server, less)), role); !strings.Contains(got, "lacks (+zremrangebyscore") {
				t.Errorf("%s without its selector: %q", role, got)
			}
		}
		lists := func(r *access.Redis) map[string]*[]string {
			return map[string]*[]string{"+": &r.Commands, "~": &r.Keys, "%R~": &r.ReadKeys, "&": &r.Channels}
		}
		for sign, list := range lists(&all) {
			for i, rule := range *list {
				less := all
				*lists(&less)[sign] = slices.Delete(slices.Clone(*list), i, i+1)
				if got := complaint(t, open(t, userURL(t, server, less)), role); !strings.Contains(got, "lacks "+sign+rule) || strings.Count(got, sign) != 1 {
					t.Errorf("%s without %s%s: %q", role, sign, rule, got)
				}
			}
		}
	}
}
