#!/usr/bin/env bash
# Starts a Redis and a MinIO, runs a command, and stops both servers, also if the command fails or is interrupted.
#
#   scripts/with-servers.sh COMMAND [ARGUMENT...]
#
# The servers listen on free loopback ports; their data is in a temporary folder in KYCQ_TEST_DATA (default TMPDIR), which
# is removed. The command finds their URLs in KYCQ_TEST_REDIS and KYCQ_TEST_S3. KYCQ_TEST_REQUIRE makes tests that cannot use
# them fail, not skip.
set -euo pipefail
set -m # a process group for each background job: Ctrl-C reaches this script only, which then stops them in order

[[ $# -gt 0 ]] || {
	echo "usage: $0 COMMAND [ARGUMENT...]" >&2
	exit 2
}
tools=$("$(dirname "$0")/tools.sh" redis minio)

folder=$(mktemp -d "${KYCQ_TEST_DATA:-${TMPDIR:-/tmp}}/kycq-servers.XXXXXX")
command_pid=
server_pids=()

# stop PID terminates a process group, after 10 s with SIGKILL.
stop() {
	kill -TERM -- "-$1" 2>/dev/null || return 0
	for _ in {1..100}; do
		kill -0 -- "-$1" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL -- "-$1" 2>/dev/null || true
}

clean_up() {
	local status=$?
	trap - EXIT INT TERM HUP
	{
		[[ -z $command_pid ]] || stop "$command_pid"
		for pid in "${server_pids[@]}"; do
			stop "$pid"
		done
		wait
	} 2>/dev/null
	rm -rf "$folder"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# answers PORT REQUEST PATTERN: does the first line of the reply to a request match?
answers() {
	local reply=
	{ exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
	printf '%b' "$2" >&3 2>/dev/null || true
	IFS= read -r -t 2 reply <&3 || true
	exec 3>&-
	[[ $reply == $3 ]]
}

# free_port prints an unused loopback port. Another process may take it before start does, which then tries again.
free_port() {
	local port
	while :; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000)) # below Linux' ephemeral range
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# start NAME REQUEST PATTERN starts a server with the function run_NAME, waits until it answers, and sets $port.
start() {
	local pid
	for _ in 1 2 3; do
		port=$(free_port)
		mkdir -p "$folder/$1"
		"run_$1" "$port" "$folder/$1" >"$folder/$1.log" 2>&1 </dev/null &
		pid=$!
		for _ in {1..300}; do
			kill -0 "$pid" 2>/dev/null || break # it exited: probably the port was taken
			if answers "$port" "$2" "$3" && kill -0 "$pid" 2>/dev/null; then
				server_pids+=("$pid")
				return
			fi
			sleep 0.1
		done
		stop "$pid"
	done
	echo "with-servers: $1 did not start; the end of its log:" >&2
	tail -n 20 "$folder/$1.log" >&2
	exit 1
}

run_redis() {
	# noeviction as in production, but nothing on disk. Each test uses its own database.
	exec redis-server --bind 127.0.0.1 --port "$1" --dir "$2" --databases 1024 \
		--appendonly no --save '' --maxmemory-policy noeviction
}

run_minio() {
	# Its own HOME keeps it from using ~/.minio.
	HOME=$2 MINIO_ROOT_USER=minioadmin MINIO_ROOT_PASSWORD=minioadmin MINIO_BROWSER=off MINIO_UPDATE=off \
		exec "$tools/minio" server --quiet --address "127.0.0.1:$1" "$2/data"
}

start redis 'PING\r\n' '+PONG*'
export KYCQ_TEST_REDIS=redis://127.0.0.1:$port/0
start minio 'GET /minio/health/cluster HTTP/1.1\r\nHost: kycq\r\nConnection: close\r\n\r\n' 'HTTP/1.1 200*'
export KYCQ_TEST_S3=http://minioadmin:minioadmin@127.0.0.1:$port
export KYCQ_TEST_S3_PID=${server_pids[1]} # make bench-compare reads its CPU time
export KYCQ_TEST_REQUIRE=redis,minio
echo "with-servers: $KYCQ_TEST_REDIS http://127.0.0.1:$port" >&2

"$@" </dev/null &
command_pid=$!
status=0
wait "$command_pid" || status=$?
command_pid=
exit "$status"
