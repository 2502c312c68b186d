package gatebench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// startRedis runs a server of its own on a free port, without persistence, until stop.
func startRedis(ctx context.Context) (url string, stop func(), err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, fmt.Errorf("no -redis and no redis-server in the path: %w", err)
	}
	dir, err := os.MkdirTemp("", "gatebench-redis-")
	if err != nil {
		return "", nil, err
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start redis-server: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	url = fmt.Sprintf("redis://127.0.0.1:%d/0", port)
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	defer func() { _ = client.Close() }()
	for range 100 {
		if err = client.Ping(ctx).Err(); err == nil {
			return url, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("redis-server does not answer: %w", err)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// counts are commands that Redis ran: those that clients sent, and those that scripts ran on their behalf.
type counts struct{ sent, inside int }

func (c counts) sub(d counts) counts { return counts{c.sent - d.sent, c.inside - d.inside} }

// insideScripts are the commands that the gate's scripts run. Clients send HGETALL and HDEL too, but a few times in all.
var insideScripts = map[string]bool{"time": true, "hmget": true, "hset": true, "hgetall": true, "hdel": true, "exists": true, "del": true}

func commands(ctx context.Context, client *redis.Client) (counts, error) {
	info, err := client.Info(ctx, "commandstats").Result()
	if err != nil {
		return counts{}, fmt.Errorf("read commandstats: %w", err)
	}
	var c counts
	lines := bufio.NewScanner(strings.NewReader(info))
	for lines.Scan() {
		name, rest, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ",")
		n, err := strconv.Atoi(number)
		if err != nil {
			return counts{}, fmt.Errorf("read commandstats: %w", err)
		}
		if insideScripts[name] {
			c.inside += n
		} else {
			c.sent += n
		}
	}
	return c, nil
}
