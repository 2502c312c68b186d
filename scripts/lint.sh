#!/usr/bin/env bash
# Runs all linters and prints at the end which failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

tools=$(scripts/tools.sh gofumpt golangci-lint gitleaks) || exit 1
failed=()

# step NAME FIX COMMAND... runs one check. FIX is printed if it fails.
step() {
	local name=$1 fix=$2
	shift 2
	local began=$SECONDS
	if "$@"; then
		printf 'lint: %-14s ok (%d s)\n' "$name" $((SECONDS - began))
	else
		printf 'lint: %-14s FAILED (%d s): %s\n' "$name" $((SECONDS - began)) "$fix"
		failed+=("$name")
	fi
}

formatted() {
	local files
	files=$("$tools/gofumpt" -l .) && [[ -z $files ]] || {
		printf '%s\n' "$files"
		return 1
	}
}

# time.Sleep makes tests slow and flaky, except inside testing/synctest. This check allows it in packages whose tests use
# synctest.
no_sleep() {
	local file status=0
	while IFS= read -r file; do
		if ! grep -qs '"testing/synctest"' "$(dirname "$file")"/*_test.go; then
			echo "$file: time.Sleep in tests of a package that does not use testing/synctest"
			status=1
		fi
	done < <(grep -rl --include='*_test.go' 'time\.Sleep(' .)
	return "$status"
}

step gofumpt 'run `make fmt`' formatted
step 'go vet' 'see above' go vet ./...
step sleep 'use testing/synctest, or wait for the event itself' no_sleep
step 'go mod tidy' 'run `go mod tidy`' go mod tidy -diff
step golangci-lint 'see above; the reasons for the rules are in .golangci.yml' "$tools/golangci-lint" run --allow-serial-runners ./...
step gitleaks 'remove the secret, or allow it narrowly in .gitleaks.toml' \
	"$tools/gitleaks" dir --no-banner --redact --log-level warn --config .gitleaks.toml .

if [[ ${#failed[@]} -gt 0 ]]; then
	printf 'lint: failed: %s\n' "${failed[*]}"
	exit 1
fi
