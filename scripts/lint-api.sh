#!/usr/bin/env bash
# Lints the description of the HTTP API with Redocly, which npm installs into the folder of the tools. Without npm, or the
# registry, the check is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.77.0
folder=${KYCQ_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kycq/tools}/redocly-$version
redocly=$folder/node_modules/.bin/redocly

if [[ ! -x $redocly ]]; then
	mkdir -p "$folder"
	if ! command -v npm >/dev/null || ! npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts "@redocly/cli@$version" >&2; then
		rm -rf "$folder"
		echo "lint-api: SKIPPED: npm cannot install @redocly/cli@$version" >&2
		exit 0
	fi
fi
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$redocly" lint --extends=recommended-strict api/openapi.json
