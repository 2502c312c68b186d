package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tapRule says what happens to a command: it is forwarded, answered with a reply, or, if neither, the connection is closed.
type tapRule func(command []string) (reply string, forward bool)

// startTap starts a proxy for the Redis at upstream, and returns its address.
func startTap(t testing.TB, upstream string, rule tapRule) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { tap(ctx, client, upstream, rule) })
		}
	})
	t.Cleanup(func() {
		stop()
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// tap serves one connection.
func tap(ctx context.Context, client net.Conn, upstream string, rule tapRule) {
	defer client.Close()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", upstream)
	if err != nil {
		return
	}
	var replies sync.WaitGroup
	replies.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	defer replies.Wait()
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	for in := bufio.NewReader(client); ; {
		command, raw, err := readCommand(in)
		if err != nil {
			return
		}
		to, text := server, raw
		if reply, forward := rule(command); !forward {
			to, text = client, reply // it is the only command on its way: the client sends no pipelines with it
		}
		if text == "" {
			return
		}
		if _, err := io.WriteString(to, text); err != nil {
			return
		}
	}
}

// readCommand reads an array of bulk strings, the form in which clients send commands.
func readCommand(in *bufio.Reader) (command []string, raw string, err error) {
	head, n, err := readLength(in, "*")
	if err != nil {
		return nil, "", err
	}
	raw = head
	for range n {
		head, size, err := readLength(in, "$")
		if err != nil {
			return nil, "", err
		}
		arg := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(in, arg); err != nil {
			return nil, "", err
		}
		command = append(command, string(arg[:size]))
		raw += head + string(arg)
	}
	if len(command) == 0 {
		return nil, "", fmt.Errorf("empty command %q", raw)
	}
	return command, raw, nil
}

func readLength(in *bufio.Reader, sign string) (line string, n int, err error) {
	if line, err = in.ReadString('\n'); err != nil {
		return "", 0, err
	}
	digits, ok := strings.CutPrefix(strings.TrimSpace(line), sign)
	if n, err = strconv.Atoi(digits); err != nil || !ok || n < 0 {
		return "", 0, fmt.Errorf("unexpected line %q", line)
	}
	return line, n, nil
}
