#!/usr/bin/env bash
# Proves the proof: builds kycq with one precaution left out at a time (internal/sabotage), and expects the test that
# docs/FAULTS.md names for it to turn red. Without arguments it goes through all of them, and first makes sure that each
# test is green on a build that is whole.
#
#   scripts/with-servers.sh scripts/mutants.sh [MUTATION...]
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"

# Mutation, package, the test that notices. The fast tests of the step machine come first, then the same with processes.
table='
skip-compare-and-swap  worker           TestModelNeverLosesNorPaysTwice
skip-context-check     worker           TestNoCallLeavesWithoutItsIntentOrAfterTheLeaseIsGone
skip-sent              worker           TestNoCallLeavesWithoutItsIntentOrAfterTheLeaseIsGone
skip-answered          worker           TestAJobThatTakesItsWorkersDownEndsAsPoison
skip-takeover-age      worker           TestASentRecordBelongsToItsOwnerUntilTheTakeoverAge
skip-final-check       worker           TestAPassportIsCheckedOnceAndForAll
skip-kept-answer       worker           TestAnAnswerThatS3RefusesIsKeptAndNeverBoughtAgain
skip-hold              worker           TestARefusedAccountHoldsTheFleetAndHarmsNoJob
count-waits            worker           TestA429IsWaitedOutByTheSameDelivery
fresh-id-on-conflict   worker           TestALostAnswerIsForAPersonUnlessThePolicySaysReissue
skip-compare-and-swap  internal/faults  TestPausedWorker/success
skip-sent              internal/faults  TestVendorConnectionCut/refused
skip-answered          internal/faults  TestImageFetchCut
skip-takeover-age      internal/faults  TestRedisFlushed/resubmitted
skip-final-check       internal/faults  TestKilledAtEachStep/success/final-written
skip-kept-answer       internal/faults  TestS3Down/answer
skip-open-set          internal/faults  TestProducerKilled
skip-hold              internal/faults  TestBalanceOut
fresh-id-on-conflict   internal/faults  TestVendorConnectionCut/before-the-answer
plain-payload          internal/faults  TestS3RepliesLost/sent
'
folder=$(mktemp -d "${TMPDIR:-/tmp}/kycq-mutants.XXXXXX")
trap 'rm -rf "$folder"' EXIT

# build PACKAGE makes its test program, with the tag that lets it be broken.
build() {
	local program=$folder/${1//\//-}.test
	[[ -x $program ]] || go test -c -tags sabotage -o "$program" "./$1"
	printf '%s\n' "$program"
}

go build -tags sabotage -o "$folder/kycq" ./cmd/kycq
export KYCQ_FAULTS_BINARY=$folder/kycq

# play MUTATION PACKAGE TEST
play() {
	local program
	program=$(build "$2")
	# Jobs that a broken build forgets are not waited for as long as those of a whole one.
	(cd "$2" && KYCQ_SABOTAGE_MUTATION=$1 KYCQ_FAULTS_PATIENCE=4m "$program" -test.run "^${3//\//\$\/^}\$" -test.timeout 10m) >"$folder/log" 2>&1
}

status=0
while read -r mutation package name; do
	[[ -n $mutation ]] || continue
	if [[ $# -gt 0 && " $* " != *" $mutation "* ]]; then
		continue
	fi
	if ! play '' "$package" "$name"; then
		printf 'mutants: %-22s %s is red on a build that is whole:\n' "$mutation" "$name"
		tail -n 20 "$folder/log"
		status=1
	elif grep -q 'no tests to run' "$folder/log"; then
		printf 'mutants: %-22s there is no test %s\n' "$mutation" "$name"
		status=1
	elif play "$mutation" "$package" "$name"; then
		printf 'mutants: %-22s SURVIVES %s %s\n' "$mutation" "$package" "$name"
		status=1
	else
		printf 'mutants: %-22s killed by %s %s: %s\n' "$mutation" "$package" "$name" \
			"$(grep -vE 'seed |SEED|: from ' "$folder/log" | grep -m 1 -oE '_test\.go:[0-9]+: .{0,110}' | cut -d ' ' -f 2- || true)"
	fi
done <<<"$table"
exit "$status"
