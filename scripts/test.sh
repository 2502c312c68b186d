#!/usr/bin/env bash
# Runs tests with the race detector, in random order, against a real Redis and a real MinIO.
#
#   scripts/test.sh [go test ARGUMENT...]     default: ./...
#
# For all packages:
#   - internal/e2e and internal/faults run beside the rest and without the race detector: they wait for most of the time, and
#     what they test are programs of their own, which are built without it.
#   - The tests of pictures, of pure functions, of the deployment files and of kycq-dev run without the race detector: pictures take
#     ten times as long with it, and the code starts no goroutines or is started as a program.
#   - The fuzz targets of the mask check run a number of inputs. With a time instead of a number, go test sometimes fails with
#     "context deadline exceeded" when the time is over (go.dev/issue/75804, corrected in Go 1.27).
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh cc redis minio >/dev/null # prints its progress on stderr

race=(-race)
export GORACE=atexit_sleep_ms=0 # by default each program waits for a second at its end
if [[ $(go env CGO_ENABLED) != 1 ]] || ! command -v "$(go env CC)" >/dev/null; then
	race=()
	echo "NOTICE: no C compiler ($(go env CC)): the tests run WITHOUT the race detector. Install gcc to enable it." >&2
fi
# The servers' data is kept in memory if there is room: on a disk that is busy with builds, MinIO waits for seconds at a write.
room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || room=0
if ((${room:-0} > 4000000)) && [[ -w /dev/shm ]]; then
	export KYCQ_TEST_DATA=/dev/shm
fi

# with_servers tests packages with a Redis and a MinIO of their own. make lint includes go vet. The timeout is per package.
with_servers() { scripts/with-servers.sh go test -vet=off -shuffle=on -timeout 20m "$@"; }

if [[ ${*:-./...} != ./... ]]; then
	with_servers "${race[@]}" "$@"
	exit
fi

processes='internal/(e2e|faults)'
plain='cmd/kycq-dev|deploy|internal/(advice|arch|batch/(manifest|report)|dev/specimen(/.*)?|faults/mutants|forms|loopback|maskcheck|outfile|printable|qr|rate|redact|retention|sleep|vendorid)'
mapfile -t without_race < <(go list ./... | grep -E "/kycq/($plain)\$")
mapfile -t rest < <(go list ./... | grep -Ev "/kycq/($plain|$processes)\$")

processes_log=$(mktemp)
trap 'kill "$pid" 2>/dev/null || true; rm -f "$processes_log"' EXIT
echo "internal/e2e and internal/faults run beside the other packages; their output follows after these."
with_servers -p 1 ./internal/faults ./internal/e2e >"$processes_log" 2>&1 &
pid=$!

status=0
with_servers "${race[@]}" "${rest[@]}" || status=$?
with_servers "${without_race[@]}" || status=$?
go test -vet=off "${race[@]}" -run 'Budget|Alone|Cancelled|Panic|ItselfIsStored' ./internal/maskcheck || status=$?
for target in maskcheck:FuzzCheck maskcheck:FuzzStrip maskcheck:FuzzCompare qr:FuzzFind; do
	go test -vet=off -run '^$' -fuzz "^${target#*:}\$" -fuzztime 2000x -fuzzminimizetime 100x "./internal/${target%:*}" || status=$?
done
wait "$pid" || status=$?
cat "$processes_log"
exit "$status"
