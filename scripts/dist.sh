#!/usr/bin/env bash
# Builds the archives of a release into dist/: kycq for each target, with shell completions, man pages and the documents; beside
# each, a CycloneDX list of the Go modules in the program (.cdx.json); and SHA256SUMS.
#
#   scripts/dist.sh VERSION COMMIT [--twice]
#
# The same commit and Go version give the same bytes anywhere: paths, times, owners and order are fixed. --twice builds a copy
# of the tree in another folder with an empty cache, and compares (takes as long as a first build).
#
#   TARGETS   default: linux/amd64 linux/arm64 darwin/arm64
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -ge 2 ]] || {
	echo "usage: $0 VERSION COMMIT [--twice]" >&2
	exit 2
}
version=$1 commit=$2 twice=${3:-}
read -ra targets <<<"${TARGETS:-linux/amd64 linux/arm64 darwin/arm64}"
tar --version 2>/dev/null | grep -q GNU || {
	echo "dist: GNU tar is needed" >&2
	exit 1
}
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# compile TREE FILE builds kycq for GOOS and GOARCH.
compile() {
	(cd "$1" && CGO_ENABLED=0 GOFLAGS='' go build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X main.version=$version -X main.commit=$commit" -o "$2" ./cmd/kycq)
}

# bill FILE TIME prints the modules that the Go linker has recorded in a program, as CycloneDX 1.5.
bill() {
	go version -m "$1" | awk -F '\t' -v version="$version" -v time="$(date -u -d "@$2" +%FT%TZ)" '
		function purl(name, v) { gsub(/\+/, "%2B", v); return "pkg:golang/" tolower(name) "@" v }
		function component(type, name, v) {
			return sprintf("{\"type\": \"%s\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"}", type, purl(name, v), name, v, purl(name, v))
		}
		NR == 1 { sub(/.*: go/, ""); sub(/ .*/, ""); list[++n] = component("library", "std", $0) }
		$2 == "mod" { main = component("application", $3, version) }
		$2 == "dep" { list[++n] = component("library", $3, $4) }
		$2 == "=>" { list[n] = component("library", $3, $4) }
		END {
			printf "{\n\"bomFormat\": \"CycloneDX\", \"specVersion\": \"1.5\", \"version\": 1,\n"
			printf "\"metadata\": {\"timestamp\": \"%s\", \"component\": %s},\n\"components\": [\n", time, main
			for (i = 1; i <= n; i++) printf "%s%s\n", list[i], i < n ? "," : ""
			print "]\n}"
		}'
}

# pack TREE OUT builds the archives from a tree.
pack() {
	local tree=$1 out=$2 name target shared=$2/shared
	local when
	when=$(git log -1 --format=%ct)
	mkdir -p "$shared/completions" "$shared/man"
	compile "$tree" "$out/host"
	for shell in bash zsh fish; do
		"$out/host" completion "$shell" >"$shared/completions/kycq.$shell"
	done
	"$out/host" man "$shared/man" >/dev/null
	(
		cd "$tree"
		cp -r README.md CHANGELOG.md deploy "$shared"
		# What the README links to.
		grep -oE '\]\([^):#]+[)#]' README.md | tr -d '](#)' | sort -u | xargs cp -r --parents -t "$shared"
	)
	rm -rf "$shared"/deploy/*_test.go "$shared/deploy/compose"
	for target in "${targets[@]}"; do
		name=kycq-$version-${target/\//-}
		echo "dist: $name" >&2
		mkdir "$out/$name"
		cp -r "$shared"/. "$out/$name"
		GOOS=${target%/*} GOARCH=${target#*/} compile "$tree" "$out/$name/kycq"
		bill "$out/$name/kycq" "$when" >"$out/$name.cdx.json"
		chmod -R u=rwX,go=rX "$out/$name"
		tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$when" --format=ustar -C "$out" -c "$name" | gzip -9n >"$out/$name.tar.gz"
		rm -rf "${out:?}/$name"
	done
	rm -rf "$shared" "$out/host"
	(cd "$out" && sha256sum kycq-*.tar.gz kycq-*.cdx.json >SHA256SUMS)
}

mkdir "$work/first"
pack "$PWD" "$work/first"
if [[ $twice == --twice ]]; then
	mkdir -p "$work/elsewhere/tree" "$work/second"
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/elsewhere/tree"
	GOCACHE=$work/cache pack "$work/elsewhere/tree" "$work/second"
	diff "$work/first/SHA256SUMS" "$work/second/SHA256SUMS" >&2 || {
		echo "dist: the second build differs from the first" >&2
		exit 1
	}
	echo "dist: built twice, the same bytes" >&2
fi
rm -rf dist
mv "$work/first" dist
cat dist/SHA256SUMS
