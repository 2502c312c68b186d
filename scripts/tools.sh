#!/usr/bin/env bash
# Installs what the tests and the linters need, and nothing that is there already.
#
#   scripts/tools.sh [NAME...]     cc redis minio gofumpt golangci-lint gitleaks (default: all)
#
# Go programs are built with `go install` at the versions below into one folder, outside the tree, so that a clean
# checkout finds them again; nothing is fetched when the folder holds the right version. redis-server and a C compiler
# (for the race detector) come from the system, and from apt-get where that is possible without a question.
#
#   KYCQ_TOOLS      the folder (default: $XDG_CACHE_HOME/kycq/tools, that is ~/.cache/kycq/tools)
#   KYCQ_NO_APT=1   never call apt-get
set -euo pipefail

# The one place where versions are pinned: name, package, module, version.
pins='
minio          github.com/minio/minio                                  github.com/minio/minio                  v0.0.0-20260212201848-7aac2a2c5b7c
golangci-lint  github.com/golangci/golangci-lint/v2/cmd/golangci-lint  github.com/golangci/golangci-lint/v2    v2.15.0
gofumpt        mvdan.cc/gofumpt                                        mvdan.cc/gofumpt                        v0.12.0
gitleaks       github.com/zricethezav/gitleaks/v8                      github.com/zricethezav/gitleaks/v8      v8.30.1
'
redis_oldest=6.2 # asynq needs commands of it

tools=${KYCQ_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kycq/tools}

say() { printf 'tools: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

# built MODULE VERSION FILE tells whether FILE was built from MODULE at VERSION, from what the Go linker wrote into it.
built() {
	[[ -x $3 ]] && go version -m "$3" 2>/dev/null | awk -F'\t' -v m="$1" -v v="$2" '$2 == "mod" && $3 == m && $4 == v { ok = 1 } END { exit !ok }'
}

go_tool() {
	local name=$1 package module version
	read -r package module version < <(awk -v n="$name" '$1 == n { print $2, $3, $4 }' <<<"$pins")
	if built "$module" "$version" "$tools/$name"; then
		return
	fi
	say "building $name $version into $tools (once; needs the network)"
	mkdir -p "$tools"
	# From / so that neither this module's go.mod nor a workspace has a say; GOFLAGS likewise.
	(cd / && CGO_ENABLED=0 GOWORK=off GOFLAGS='' GOBIN=$tools go install -trimpath "$package@$version") ||
		die "could not build $name $version: is the network there? (go install $package@$version)"
	built "$module" "$version" "$tools/$name" || die "go install left no $name $version in $tools"
}

# apt_install PACKAGE... answers no questions and asks none: as root, or with a sudo that needs no password.
apt_install() {
	[[ -z ${KYCQ_NO_APT:-} ]] || return 1
	command -v apt-get >/dev/null || return 1
	local -a as_root=()
	if [[ $(id -u) != 0 ]]; then
		sudo -n true 2>/dev/null || return 1
		as_root=(sudo -n)
	fi
	say "installing $* with apt-get"
	# RUNLEVEL=1 keeps Debian from starting the service: the tests start their own.
	"${as_root[@]}" apt-get update -qq </dev/null >&2 || say "apt-get update failed; trying with the lists that are there"
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

# redis_version prints the version of the redis-server on the PATH, such as 7.0.15.
redis_version() { redis-server --version 2>/dev/null | sed -n 's/.* v=\([0-9.]*\).*/\1/p'; }

redis() {
	if ! command -v redis-server >/dev/null; then
		apt_install redis-server || true
	fi
	command -v redis-server >/dev/null ||
		die "no redis-server: install Redis $redis_oldest or newer (apt-get install redis-server, brew install redis), or run plain \`go test ./...\`, which skips what needs it"
	local have
	have=$(redis_version)
	[[ $(printf '%s\n' "$redis_oldest" "$have" | sort -V | head -n 1) == "$redis_oldest" ]] ||
		die "redis-server is $have, older than $redis_oldest: install a newer one"
}

# cc makes the race detector possible where it can; tests run without it otherwise (scripts/test.sh says so).
cc() {
	command -v "$(go env CC)" >/dev/null || apt_install gcc libc6-dev || say "no C compiler, and none could be installed"
}

command -v go >/dev/null || die "no go: install Go $(sed -n 's/^go //p' "$(dirname "$0")/../go.mod") or newer from https://go.dev/dl/"
[[ $# -gt 0 ]] || set -- cc redis minio gofumpt golangci-lint gitleaks
for name; do
	case $name in
	cc | redis) "$name" ;;
	minio | gofumpt | golangci-lint | gitleaks) go_tool "$name" ;;
	*) die "no tool is called $name" ;;
	esac
done
printf '%s\n' "$tools"
