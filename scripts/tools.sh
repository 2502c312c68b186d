#!/usr/bin/env bash
# Installs the tools that the tests and linters need, if they are missing, and prints their folder.
#
#   scripts/tools.sh [NAME...]     cc redis minio gofumpt golangci-lint gitleaks (default: all these), promtool helm tsx
#
# Go programs are built with `go install` at the versions below into a folder outside the tree. A tool that is there in
# the right version is not built again. redis-server and a C compiler (for the race detector) are expected on the system;
# if they are missing, they are installed with apt-get if that works without a password.
#
#   KYCQ_TOOLS      the folder (default: $XDG_CACHE_HOME/kycq/tools, usually ~/.cache/kycq/tools)
#   KYCQ_NO_APT=1   do not call apt-get
set -euo pipefail

# Name, package, module, version.
pins='
minio          github.com/minio/minio                                  github.com/minio/minio                  v0.0.0-20260212201848-7aac2a2c5b7c
golangci-lint  github.com/golangci/golangci-lint/v2/cmd/golangci-lint  github.com/golangci/golangci-lint/v2    v2.15.0
gofumpt        mvdan.cc/gofumpt                                        mvdan.cc/gofumpt                        v0.12.0
gitleaks       github.com/zricethezav/gitleaks/v8                      github.com/zricethezav/gitleaks/v8      v8.30.1
helm           helm.sh/helm/v3/cmd/helm                                helm.sh/helm/v3                         v3.22.0
'
tsx_version=4.23.15
redis_minimum=6.2 # required by asynq

tools=${KYCQ_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kycq/tools}

say() { printf 'tools: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

# built MODULE VERSION FILE: was FILE built from MODULE at VERSION? The Go linker records both in the file.
built() {
	[[ -x $3 ]] && go version -m "$3" 2>/dev/null | awk -F'\t' -v m="$1" -v v="$2" '$2 == "mod" && $3 == m && $4 == v { ok = 1 } END { exit !ok }'
}

go_tool() {
	local name=$1 package module version
	read -r package module version < <(awk -v n="$name" '$1 == n { print $2, $3, $4 }' <<<"$pins")
	if built "$module" "$version" "$tools/$name"; then
		return
	fi
	say "building $name $version into $tools (only once; needs the network, takes a few minutes)"
	mkdir -p "$tools"
	show_progress "$name" &
	local progress=$! status=0
	# The folder / and the variables keep this module, workspaces and the caller's GOFLAGS out of the build.
	(cd / && CGO_ENABLED=0 GOWORK=off GOFLAGS='' GOBIN=$tools go install -trimpath "$package@$version") || status=$?
	kill "$progress" 2>/dev/null || true
	wait "$progress" 2>/dev/null || true
	[[ $status == 0 ]] || die "could not build $name $version: check the network (go install $package@$version)"
	built "$module" "$version" "$tools/$name" || die "go install did not create $name $version in $tools"
	say "built $name $version"
}

# show_progress NAME prints a line every 15 s, until it is killed or this script has ended.
show_progress() {
	local seconds=0
	while sleep 1 && kill -0 $$ 2>/dev/null; do
		seconds=$((seconds + 1))
		[[ $((seconds % 15)) != 0 ]] || say "still building $1 ($seconds s)"
	done
}

# apt_install PACKAGE... installs without questions, as root or with a sudo that needs no password.
apt_install() {
	[[ -z ${KYCQ_NO_APT:-} ]] || return 1
	command -v apt-get >/dev/null || return 1
	local -a as_root=()
	if [[ $(id -u) != 0 ]]; then
		sudo -n true 2>/dev/null || return 1
		as_root=(sudo -n)
	fi
	say "installing $* with apt-get"
	# RUNLEVEL=1 keeps Debian from starting the service.
	"${as_root[@]}" apt-get update -qq </dev/null >&2 || say "apt-get update failed; using the present package lists"
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
		die "no redis-server: install Redis $redis_minimum or newer (apt-get install redis-server, brew install redis), or run plain \`go test ./...\`, which skips the tests that need it"
	local have
	have=$(redis_version)
	[[ $(printf '%s\n' "$redis_minimum" "$have" | sort -V | head -n 1) == "$redis_minimum" ]] ||
		die "redis-server is $have, older than $redis_minimum: install a newer one"
}

# promtool takes Prometheus' tool out of Debian's package; installing that would start a server. Without it, the alerts are not
# evaluated.
promtool() {
	[[ ! -x $tools/promtool ]] || return 0
	local folder
	folder=$(mktemp -d)
	if [[ -z ${KYCQ_NO_APT:-} ]] && (cd "$folder" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) >&2 2>/dev/null; then
		mkdir -p "$tools" && mv "$folder/usr/bin/promtool" "$tools/"
	else
		say "NOTICE: no promtool: apt-get download prometheus failed (run apt-get update), or copy promtool to $tools"
	fi
	rm -rf "$folder"
}

# helm checks the chart. Without it, the tests of the chart are skipped.
helm() { (go_tool helm) || say "NOTICE: no helm: the chart is not checked"; }

# tsx runs TypeScript with any Node from 18 on. Without it, the clients in TypeScript are not tested.
tsx() {
	local folder=$tools/tsx-$tsx_version
	if [[ -x $folder/node_modules/.bin/tsx ]] || npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts "tsx@$tsx_version" >&2; then
		ln -sfn "$folder/node_modules/.bin/tsx" "$tools/tsx"
	else
		rm -rf "$folder"
		say "NOTICE: no tsx: npm cannot install it; the clients in TypeScript are not tested"
	fi
}

# cc installs a C compiler if possible. Without one, scripts/test.sh runs without the race detector.
cc() {
	command -v "$(go env CC)" >/dev/null || apt_install gcc libc6-dev || say "no C compiler, and it could not be installed"
}

command -v go >/dev/null || die "no go: install Go $(sed -n 's/^go //p' "$(dirname "$0")/../go.mod") or newer from https://go.dev/dl/"
[[ $# -gt 0 ]] || set -- cc redis minio gofumpt golangci-lint gitleaks
for name; do
	case $name in
	cc | redis | promtool | helm | tsx) "$name" ;;
	minio | gofumpt | golangci-lint | gitleaks) go_tool "$name" ;;
	*) die "unknown tool: $name" ;;
	esac
done
printf '%s\n' "$tools"
