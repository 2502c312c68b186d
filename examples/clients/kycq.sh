#!/usr/bin/env bash
# Verifies a passport and masks a card with the HTTP API of `kycq serve`: kycq.sh ID CARD.jpg MASKED.jpg
#
# API_URL and API_TOKEN (scopes submit and read) name the server and the key. It needs curl and jq. A job of the same ID and
# input is not made twice, so after a failure the script can be run again.
set -euo pipefail
id=$1 card=$2 masked=$3
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# call FILE PATH [ARGUMENT...] writes the answer to FILE. After 429 and 503 curl sends the request again. The token is in curl's
# stdin, because a list of processes would show an argument.
call() {
	local file=$1 path=$2 status
	shift 2
	status=$(curl -sS --retry 5 --config - -o "$file" -w '%{http_code}' "$@" "$API_URL$path" <<<"header = \"Authorization: Bearer $API_TOKEN\"")
	[[ $status == 2* ]] || {
		jq -r '"problem \(.status) \(.code)", (.errors // [] | .[] | "  \(.pointer) \(.code)")' "$file"
		return 1
	}
}

# finish KIND ID prints the result of a job. A request waits for at most 25 seconds.
finish() {
	until call "$answer" "/v1/jobs/$1/$2" -H 'Prefer: wait=25' && jq -e .completed_at "$answer" >/dev/null; do sleep 1; done
	jq -r '"\(.kind) \(.state)" + if .matches then ", name: \(.matches.name)" else "" end' "$answer"
}

# passport DOB submits a passport.
passport() {
	call "$answer" /v1/passport -H 'Content-Type: application/json' \
		-d "{\"verification_id\":\"$id-passport\",\"file_number\":\"PA1079341954215\",\"dob\":\"$1\",\"name\":\"Specimen Person\"}"
}

passport 2007-13-01 || true # a problem
passport 2007-03-01
finish passport "$id-passport"
call "$answer" /v1/aadhaar -F "verification_id=$id-card" -F "image=@$card"
finish aadhaar "$id-card"
call "$masked" "/v1/jobs/aadhaar/$id-card/image"
echo "masked image: $(wc -c <"$masked" | tr -d ' ') bytes"
