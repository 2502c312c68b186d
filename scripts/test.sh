#!/usr/bin/env bash
# Runs tests with the race detector, in random order, against a real Redis and a real MinIO. For all packages it also runs the
# fuzz targets of the mask check for some seconds, and the tests of pictures without the race detector: they take ten times as
# long with it, and the code starts no goroutines.
#
#   scripts/test.sh [go test ARGUMENT...]     default: ./...
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/tools.sh cc redis minio >/dev/null # prints its progress on stderr
fuzz=() pictures=()
if [[ ${*:-./...} == ./... ]]; then
	fuzz=(maskcheck:FuzzCheck maskcheck:FuzzStrip maskcheck:FuzzCompare qr:FuzzFind)
	pictures=(./internal/maskcheck ./internal/qr ./internal/dev/specimen/...)
	mapfile -t rest < <(go list ./... | grep -Ev '/internal/(maskcheck|qr|dev/specimen(/.*)?)$')
	set -- "${rest[@]}"
fi

race=(-race)
if [[ $(go env CGO_ENABLED) != 1 ]] || ! command -v "$(go env CC)" >/dev/null; then
	race=()
	echo "NOTICE: no C compiler ($(go env CC)): the tests run WITHOUT the race detector. Install gcc to enable it." >&2
fi
# The servers' data is kept in memory if there is room: on a disk that is busy with builds, MinIO waits for seconds at a write.
room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || room=0
if ((${room:-0} > 4000000)) && [[ -w /dev/shm ]]; then
	export KYCQ_TEST_DATA=/dev/shm
fi
# The timeout is per package. The end-to-end tests, which build the binary and start processes, are the slowest.
scripts/with-servers.sh go test "${race[@]}" -shuffle=on -timeout 15m "$@"
if ((${#pictures[@]})); then
	go test -shuffle=on "${pictures[@]}"
	go test "${race[@]}" -run 'Budget|Alone|Cancelled|Panic|ItselfIsStored' ./internal/maskcheck
fi
for target in "${fuzz[@]}"; do
	go test -run '^$' -fuzz "^${target#*:}\$" -fuzztime 3s "./internal/${target%:*}"
done
