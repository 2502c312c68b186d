package redisx

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

const sentinelPort = "26379"

// parseSentinel parses the part of the URL after "redis-sentinel://". It parses the list of hosts itself: since Go 1.26
// net/url refuses a host with more than one colon.
func parseSentinel(rest string) (*redis.FailoverOptions, error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	user, hosts := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, hosts = authority[:at+1], authority[at+1:]
	}
	u, err := url.Parse("redis-sentinel://" + user + "hosts" + tail)
	if err != nil {
		return nil, errors.New("invalid: use redis-sentinel://host:26379,host:26379/0?master=NAME")
	}
	opt := &redis.FailoverOptions{MasterName: u.Query().Get("master")}
	if opt.MasterName == "" {
		return nil, errors.New("no master: add ?master=NAME")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		address, err := sentinelAddress(host)
		if err != nil {
			return nil, err
		}
		opt.SentinelAddrs = append(opt.SentinelAddrs, address)
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if opt.DB, err = strconv.Atoi(db); err != nil || opt.DB < 0 {
			return nil, errors.New("the database is not a number: end the URL with /0")
		}
	}
	opt.Username = u.User.Username()
	opt.Password, _ = u.User.Password()
	opt.SentinelUsername = u.Query().Get("sentinel_username")
	opt.SentinelPassword = u.Query().Get("sentinel_password")
	if u.Query().Get("tls") == "true" {
		opt.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	setSentinelLimits(opt)
	return opt, nil
}

func sentinelAddress(host string) (string, error) {
	host = strings.TrimSpace(host)
	if host == "" {
		return "", errors.New("empty host in the list of sentinels")
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host, nil
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), sentinelPort), nil
}

// setSentinelLimits is setLimits for the other type. go-redis has no maintenance notifications with sentinels.
func setSentinelLimits(opt *redis.FailoverOptions) {
	opt.DialTimeout, opt.DialerRetries = dialTimeout, dialTries
	opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = ioTimeout, ioTimeout, poolTimeout
	opt.MaxRetries, opt.PoolSize, opt.ConnMaxIdleTime = retries, poolSize, maxIdle
	opt.ContextTimeoutEnabled, opt.DisableIdentity = true, true
}
