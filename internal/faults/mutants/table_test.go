package mutants

// mutants lists the precautions and the tests that must notice when one is missing: first the fast test of the package,
// then the scenario with processes.
var mutants = []mutant{
	{
		name: "skip-compare-and-swap", // overwrites records without a condition
		pkg:  "worker",
		old: `	var version storage.Version
	if d.version == (storage.Version{}) {
`,
		new: `	var version storage.Version
	_, d.version, _ = d.Records.Record(ctx, d.job.Kind, d.job.VerificationID)
	if d.version == (storage.Version{}) {
`,
		tests: []testName{
			{"worker", "TestModelNeverLosesNorPaysTwice"},
			{faults, "TestPausedWorker/success"},
		},
	},
	{
		name: "skip-context-check", // calls although the lease is lost
		pkg:  "worker",
		old: `	case ctx.Err() != nil: // another worker may have the task
`,
		new: `	case false:
`,
		tests: []testName{{"worker", "TestNoCallLeavesWithoutItsIntentOrAfterTheLeaseIsGone"}},
	},
	{
		name: "skip-sent", // calls before the intent is durable
		pkg:  "worker",
		old: `	d.intended = time.Now()
`,
		new: `	d.intended, d.rec = time.Now(), rec
	if true {
		return nil
	}
`,
		tests: []testName{
			{"worker", "TestNoCallLeavesWithoutItsIntentOrAfterTheLeaseIsGone"},
			{faults, "TestVendorConnectionCut/refused"},
		},
	},
	{
		name: "skip-answered", // fetches the image before the answer is durable
		pkg:  "worker",
		old: `		switch err := d.save(ctx, rec); {
		case err == nil:
			return d.afterAnswer`,
		new: `		if r.next == toAnswered {
			d.rec = rec
			return goTo(stepMask), nil
		}
		switch err := d.save(ctx, rec); {
		case err == nil:
			return d.afterAnswer`,
		tests: []testName{
			{"worker", "TestAJobThatCrashesItsWorkersEndsAsACrashLoop"},
			{faults, "TestImageFetchCut"},
		},
	},
	{
		name:  "skip-takeover-age", // takes over a call in flight at once
		pkg:   "worker",
		old:   `rest := age - d.version.Age; rest > 0 {`,
		new:   `rest := age - d.version.Age; false && rest > 0 {`,
		tests: []testName{{"worker", "TestASentRecordBelongsToItsOwnerUntilTheTakeoverAge"}},
	},
	{
		name:  "takeover-age-zero", // considers the answer of every call lost at once
		pkg:   "worker",
		old:   `return sendWithin(at) + `,
		new:   `return 0 * sendWithin(at) + 0 * `,
		tests: []testName{{"worker", "TestASentRecordBelongsToItsOwnerUntilTheTakeoverAge"}},
	},
	{
		name: "send-late", // uses a slot although its time has passed
		pkg:  "worker",
		old: `d.permit.Late()
`,
		new: `false
`,
		tests: []testName{{"worker", "TestASlotIsUsedOnTimeOrGivenBack"}},
	},
	{
		name:  "send-old-intent", // sends although another worker may have taken over
		pkg:   "worker",
		old:   `old, late := sleep.Elapsed(d.intended) > sendWithin(*d.rec.LastAttempt()), `,
		new:   `old, late := false, `,
		tests: []testName{{"worker", "TestAWorkerThatWakesUpAfterATakeoverSendsNothing"}},
	},
	{
		name: "drop-unread-answer", // drops a paid answer that was kept after the last look for one
		pkg:  "worker",
		old: `	if d.rec.MaybeCharged() {
		if t, found`,
		new: `	if false {
		if t, found`,
		tests: []testName{{"worker", "TestAKeptAnswerOutlivesTheAnswerLostOfASecondCall"}},
	},
	{
		name:  "send-on-task-context", // cuts a paid call when the lease is lost
		pkg:   "worker",
		old:   `d.send(context.WithoutCancel(ctx))`,
		new:   `d.send(ctx)`,
		tests: []testName{{"worker", "TestALostLeaseCutsNeitherAPaidCallNorTheWriteOfItsAnswer"}},
	},
	{
		name: "record-on-task-context", // loses a paid answer when the lease is lost
		pkg:  "worker",
		old: `	ctx = context.WithoutCancel(ctx)
	kept := false
`,
		new: `	kept := false
`,
		tests: []testName{{"worker", "TestALostLeaseCutsNeitherAPaidCallNorTheWriteOfItsAnswer"}},
	},
	{
		name: "drop-kept-answer-early", // drops a kept answer before it is in the record
		pkg:  "worker",
		old: `	d.setAnswer(a)
	return goTo(stepRecord), true
`,
		new: `	d.setAnswer(a)
	_ = d.Hints.DropAnswer(ctx, string(d.job.Kind), d.job.VerificationID)
	return goTo(stepRecord), true
`,
		tests: []testName{{"worker", "TestAKeptAnswerStaysUntilItIsInTheRecord"}},
	},
	{
		name: "skip-final-check", // works on final records again
		pkg:  "worker",
		old: `	case state.Final():
		return goTo(stepFinish)
`,
		new: `	case state.Final():
		return goTo(stepCheck)
`,
		tests: []testName{
			{"worker", "TestAPassportIsCheckedOnceAndForAll"},
			{faults, "TestKilledAtEachStep/success/final-written"},
		},
	},
	{
		name: "skip-final-tail", // acknowledges the task of a final record without its tail
		pkg:  "worker",
		old: `	case state.Final():
		return goTo(stepFinish)
`,
		new: `	case state.Final():
		return done(Verdict{Decision: Final})
`,
		tests: []testName{{"worker", "TestASweepRepeatsTheTailOfAFinalRecord"}},
	},
	{
		name: "skip-kept-answer", // drops an answer that S3 does not accept
		pkg:  "worker",
		old: `	sealed, err := sealAnswer(d.Keyset, d.job.VerificationID, *d.answer)
	if err == nil {
		err = d.Hints`,
		new: `	sealed, err := sealAnswer(d.Keyset, d.job.VerificationID, *d.answer)
	if false {
		err = d.Hints`,
		tests: []testName{
			{"worker", "TestAnAnswerThatS3RefusesIsKeptAndNeverBoughtAgain"},
			{faults, "TestS3Down/answer"},
		},
	},
	{
		name: "skip-marker", // forgets jobs that have a record and no task
		pkg:  "storage",
		old:  `	if err := mark(); err != nil {`,
		new:  `	if err := error(nil); err != nil {`,
		tests: []testName{
			{"storage", "TestAMarkerIsThereBeforeItsRecord"},
			{faults, "TestProducerKilled"},
		},
	},
	{
		name:  "skip-late-marker", // reopens a final record that nothing finds after a crash
		pkg:   "worker",
		old:   `		if d.rec.State.Final() { // it has no marker any more`,
		new:   `		if false {`,
		tests: []testName{{"worker", "TestALateAnswerIsMarkedBeforeItReopensAFinalRecord"}},
	},
	{
		name:  "unmark-before-the-tail", // deletes the marker of a run whose tail can still fail
		pkg:   "worker",
		old:   `	err := errors.Join(d.reportRows(ctx), `,
		new:   `	err := errors.Join(d.unmark(ctx), d.reportRows(ctx), `,
		tests: []testName{{"worker", "TestTheMarkerIsDeletedLast"}},
	},
	{
		name: "trust-any-task", // believes that an archived task, or one of next year, drives its job
		pkg:  "internal/asynqx",
		old: `	local found = driven(id, task)
`,
		new: `	local found = type(task[1]) == 'string'
`,
		tests: []testName{{"internal/asynqx", "TestATaskDrivesOnlyIfItWillBeDelivered"}},
	},
	{
		name:  "lead-for-one-sweep", // lets another worker begin anew during a long round
		pkg:   "worker",
		old:   `		for sleep.For(ctx, renewEvery) == nil {`,
		new:   `		for false {`,
		tests: []testName{{"worker", "TestTheLeadershipIsRenewedDuringARoundAndARoundEndsWithIt"}},
	},
	{
		name: "skip-hold", // goes on calling with a refused account
		pkg:  "worker",
		old: `	first, err := d.Gate.RaiseHold(ctx, h)
`,
		new: `	if true {
		return nil
	}
	first, err := d.Gate.RaiseHold(ctx, h)
`,
		tests: []testName{
			{"worker", "TestARefusedAccountHoldsTheFleetAndHarmsNoJob"},
			{faults, "TestBalanceOut"},
		},
	},
	{
		name:  "buy-into-quarantine", // goes on buying masks although they all end in quarantine
		pkg:   "worker",
		old:   `	if err != nil || n < maskLimit {`,
		new:   `	if true {`,
		tests: []testName{{"worker", "TestMasksThatFailTheCheckHoldTheirKind"}},
	},
	{
		name: "pause-in-redis-only", // the operator's pause is written to Redis only
		pkg:  "internal/pauses",
		old: `	h.Cause = hold.Operator
`,
		new: `	h.Cause = hold.Operator
	if true {
		return p.Holds.RaiseHold(ctx, h)
	}
`,
		tests: []testName{
			{"internal/pauses", "TestAPauseSurvivesTheLossOfRedisData"},
			{faults, "TestPausedAndRedisFlushed"},
		},
	},
	{
		name:  "resume-ends-pause", // a pause ends when another hold is resumed
		pkg:   "internal/hold",
		old:   `return cause == "" && others && h.Paused()`,
		new:   `return false && others && h.Paused()`,
		tests: []testName{{"internal/hold", "TestResumeKeepsAPauseBesideOtherHolds"}},
	},
	{
		name:  "cancel-in-flight", // cancels a job whose call is in flight
		pkg:   "worker",
		old:   `case version.Age < takeoverAge(*last):`,
		new:   `case false && version.Age < takeoverAge(*last):`,
		tests: []testName{{"worker", "TestAPaidAnswerIsNotCancelled"}},
	},
	{
		name:  "call-while-nothing-is-stored", // pays for further images while none can be fetched
		pkg:   "worker",
		old:   `const maxUnstored = 20`,
		new:   `const maxUnstored = 2000`,
		tests: []testName{{"worker", "TestPaidAnswersThatCannotBeStoredStopFurtherCalls"}},
	},
	{
		name:  "keep-stored-in-the-count", // counts answers that were stored
		pkg:   "worker",
		old:   `if err == nil && !d.fresh {`,
		new:   `if false {`,
		tests: []testName{{"worker", "TestPaidAnswersThatCannotBeStoredStopFurtherCalls"}},
	},
	{
		name:  "proxy-to-any-host", // has the proxy connect to hosts that are not listed
		pkg:   "internal/cashfree",
		old:   `case !h.allow(u.Hostname(), port):`,
		new:   `case false:`,
		tests: []testName{{"internal/cashfree", "TestImageLinksUseTheProxyForListedHostsOnly"}},
	},
	{
		name:  "count-waits", // counts 429s and refusals as attempts
		pkg:   "worker",
		old:   `	at.Counted = r.counted && (`,
		new:   `	at.Counted = true || r.counted && (`,
		tests: []testName{{"worker", "TestA429IsWaitedOutByTheSameDelivery"}},
	},
	{
		name: "fresh-id-on-conflict", // buys lost answers again although the policy is review
		pkg:  "worker",
		old: `	if !d.policy.ReissueLostAnswers {
		return false, nil
`,
		new: `	if !d.policy.ReissueLostAnswers {
		return true, nil
`,
		tests: []testName{
			{"worker", "TestALostAnswerIsForAPersonUnlessThePolicySaysReissue"},
			{faults, "TestVendorConnectionCut/before-the-answer"},
		},
	},
	{
		name:  "plain-payload", // does not encrypt payloads
		pkg:   "tasks",
		old:   `	sealed, err := c.cfg.Keyset.Seal(`,
		new:   `	sealed, err := seal.Insecure().Seal(`,
		tests: []testName{{faults, "TestS3RepliesLost/sent"}},
	},
	{
		name:  "sweep-ignores-answered", // leaves answered records without a task alone
		pkg:   "worker",
		old:   `	return rec.State.Final() || rec.State == storage.StateAnswered`,
		new:   `	return rec.State.Final()`,
		tests: []testName{{"worker", "TestASweepDeliversAnAnsweredRecordWithoutAGate"}},
	},
	{
		name:  "enqueue-ignores-fingerprint", // takes another input under a known id for the same job
		pkg:   "tasks",
		old:   `	if !existing.Created && existing.Fingerprint != job.Fingerprint {`,
		new:   `	if false {`,
		tests: []testName{{"tasks", "TestTheSameIDWithAnotherInputIsAnErrorAndNotAnotherJob"}},
	},
	{
		name:  "worker-ignores-fingerprint", // works on another input than that of the record
		pkg:   "worker",
		old:   `	case rec.Fingerprint != d.job.Fingerprint:`,
		new:   `	case false:`,
		tests: []testName{{"worker", "TestAnotherInputUnderTheSameIDCallsNothing"}},
	},
	{
		name: "store-before-check", // stores the masked image before it is checked
		pkg:  "worker",
		old: `	var report maskcheck.Report
`,
		new: `	if _, _, err := d.MaskedImages.PutMasked(ctx, d.job.VerificationID, d.rec.Run, "jpg", fetched.ContentType, fetched.Body); err != nil {
		return d.infraFault(err, "storage")
	}
	var report maskcheck.Report
`,
		tests: []testName{{"worker", "TestAnUnsafeMaskIsQuarantinedAndNeverStoredAsMasked"}},
	},
	{
		name:  "few-retries", // has asynq archive a task after 25 deliveries
		pkg:   "tasks",
		old:   `	maxRetry = 1 << 30`,
		new:   `	maxRetry = 25`,
		tests: []testName{{"tasks", "TestEnqueueIsIdempotentAndSealed"}},
	},
	{
		name: "skip-lifecycle", // does not set the lifecycle rule of the inbox
		pkg:  "internal/objects",
		old: `	for _, l := range b.lifecycles() {
		step, err`,
		new: `	for _, l := range b.lifecycles()[:0] {
		step, err`,
		tests: []testName{{"internal/objects", "TestTheInboxLifecycleGoesByTheUploadTagAndKeepsTheUsersRules"}},
	},
	{
		name:  "keep-unused-slot", // does not return the slot of a call that was not made
		pkg:   "internal/gate",
		old:   `	if o.Kind == NotSent && p.nonce == "" {`,
		new:   `	if (o.Kind == NotSent || o.Kind == Unused) && p.nonce == "" {`,
		tests: []testName{{"internal/gate", "TestUnusedSlotGoesToTheNextCaller"}},
	},
	{
		name:  "recover-inactive-tasks", // puts the task of a lease into its queue although it is not active
		pkg:   "internal/janitor",
		old:   `redis.call('LREM', KEYS[2], 0, id) > 0 and `,
		new:   `redis.call('LREM', KEYS[2], 0, id) >= 0 and `,
		tests: []testName{{"internal/janitor", "TestATaskOfADeadWorkerIsRecoveredOnceAndDeliveredFirst"}},
	},
	{
		name:  "recover-live-tasks", // takes the tasks of workers that extend their leases
		pkg:   "internal/janitor",
		old:   `if last := before[id]; last.ends == z.Score {`,
		new:   `if last := before[id]; last.looks > 0 {`,
		tests: []testName{{"internal/janitor", "TestATaskOfADeadWorkerIsRecoveredOnceAndDeliveredFirst"}},
	},
	{
		name:  "ignore-vendor-host", // takes the outcomes of the sandbox for those of the live API
		pkg:   "internal/installation",
		old:   `	case file.VendorHost != f.want.Host:`,
		new:   `	case false:`,
		tests: []testName{{"internal/installation", "TestSandboxAndLiveNeedOtherBuckets"}},
	},
	{
		name:  "adopt-at-once", // adopts a Redis while the workers of another one are alive
		pkg:   "internal/installation",
		old:   `f.State == RedisChanged && !f.inUse():`,
		new:   `f.State == RedisChanged:`,
		tests: []testName{{"internal/installation", "TestOfTwoRedisOverTheSameBucketsOneDrives"}},
	},
	{
		name: "adopt-with-the-old-name", // the Redis that was replaced drives the buckets again when it comes back
		pkg:  "internal/installation",
		old: `rand.Text(), f.server
`,
		new: `rand.Text(), f.server
	if f.File != nil {
		next.Redis = f.File.Redis
	}
`,
		tests: []testName{{"internal/installation", "TestOfTwoRedisOverTheSameBucketsOneDrives"}},
	},
	{
		name: "use-old-look", // a worker that was paused calls although another Redis was adopted
		pkg:  "internal/installation",
		old:  ` || sleep.Elapsed(k.last.at)+k.last.Age > useFor {`,
		new:  ` || false && sleep.Elapsed(k.last.at) > useFor {`,
		tests: []testName{
			{"internal/installation", "TestALookIsUsedForLessThanTheTimeUntilAnotherRedisMayBeAdopted"},
		},
	},
	{
		name: "slot-without-name", // takes slots from the Redis of another installation
		pkg:  "internal/gate",
		old: `		g.cfg.Installation())
`,
		new: `		"*")
`,
		tests: []testName{{"internal/gate", "TestNoSlotIsGrantedByARedisWithoutPausesOrOfAnotherName"}},
	},
	{
		name: "end-with-open-rows", // ends a batch although a record shows that a row is open
		pkg:  "internal/batch",
		old: `	if len(open) > 0 {
		return false, t.reopenFound(ctx, open)
`,
		new: `	if false {
		return false, t.reopenFound(ctx, open)
`,
		tests: []testName{{"internal/batch", "TestABatchDoesNotEndWhileARecordIsOpen"}},
	},
	{
		name: "cursor-before-enqueues", // moves the cursor before the rows are enqueued
		pkg:  "internal/batch",
		old: `	calls, streak, err := t.feedOpen(ctx, p, run, rows)
`,
		new: `	if err := t.Progress.advance(ctx, t.b.ID, p, to, 0, 0); err != nil {
		return 0, err
	}
	calls, streak, err := t.feedOpen(ctx, p, run, rows)
`,
		tests: []testName{{"internal/batch", "TestACancelCountsTheCallsOfRowsThatADeadFeederEnqueued"}},
	},
	{
		name: "cancel-in-s3-only", // does not tell the workers that a batch is cancelled
		pkg:  "internal/batch",
		old: `	if err := c.Progress.Sync(ctx, b); err != nil {
		return b, fmt.Errorf("the batch is cancelled,`,
		new: `	if err := error(nil); err != nil {
		return b, fmt.Errorf("the batch is cancelled,`,
		tests: []testName{{"internal/batch", "TestWorkersSeeACancelBeforeTheFeederDoes"}},
	},
	{
		name: "call-of-a-paused-batch", // makes the calls of a batch that is paused
		pkg:  "worker",
		old: `	case paused:
`,
		new: `	case paused && false:
`,
		tests: []testName{{"worker", "TestARowOfAPausedBatchMakesNoCallAndCountsNoAttempt"}, {"internal/batch", "TestAPausedBatchMakesNoCallsUntilItIsResumed"}},
	},
	{
		name: "pause-before-hold", // pauses the queues before the hold that they follow
		pkg:  "worker",
		old: `	first, err := d.Gate.RaiseHold(ctx, h)
`,
		new: `	d.OnHold(ctx)
	d.OnHold = func(context.Context) {}
	first, err := d.Gate.RaiseHold(ctx, h)
`,
		tests: []testName{{"worker", "TestTheQueuesArePausedAfterTheHoldIsRaised"}},
	},
	{
		name: "hold-without-pause", // leaves the queues running during a hold
		pkg:  "worker",
		old: `	d.OnHold(ctx)
	return nil
`,
		new: `	return nil
`,
		tests: []testName{{"worker", "TestTheQueuesArePausedAfterTheHoldIsRaised"}},
	},
	{
		name:  "trust-payload", // uses payloads that are not authentic
		pkg:   "tasks",
		old:   `	_, err = c.cfg.Keyset.Open(p.Seal, payloadBinding(name, p.JobSpec))`,
		new:   `	_ = payloadBinding(name, p.JobSpec)`,
		tests: []testName{{"tasks", "TestAPayloadIsAuthenticatedWhole"}},
	},
	{
		name: "run-without-order", // begins any run that a task names
		pkg:  "worker",
		old: `	asked := false
`,
		new: `	asked := true
`,
		tests: []testName{{"worker", "TestARunThatWasNotAskedForIsDropped"}},
	},
	{
		name:  "hold-all-by-any-403", // takes every 403 for one that concerns the account
		pkg:   "internal/cashfree",
		old:   `	{404, "", "", Rejected, "not_found"},`,
		new:   `	{403, "", "", NotAllowed, "ip_validation_failed"}, {404, "", "", Rejected, "not_found"},`,
		tests: []testName{{"internal/cashfree", "TestEveryDocumentedAnswerHasItsClass"}},
	},
	{
		name:  "page-is-an-answer", // ends jobs by a page that is served with 200
		pkg:   "worker",
		old:   `	case cashfree.Lost, cashfree.SourceBroken, cashfree.Unreadable:`,
		new:   `	case cashfree.Lost, cashfree.SourceBroken:`,
		tests: []testName{{"worker", "TestOddAnswersToAllJobsHoldTheKindAndEndNoJob"}},
	},
	{
		name:  "fail-undocumented", // ends a job at its third undocumented answer although no other job was answered
		pkg:   "worker",
		old:   `	case undocumented(rec) >= oddLimit && s.GoodSince:`,
		new:   `	case undocumented(rec) >= oddLimit:`,
		tests: []testName{{"worker", "TestOneJobAloneHoldsItsKindAtItsThirdUndocumentedAnswer"}},
	},
	{
		name:  "never-hold-by-odd", // goes on calling a server that is not Cashfree's
		pkg:   "worker",
		old:   `	return s.Jobs >= oddLimit || `,
		new:   `	return false && `,
		tests: []testName{{"worker", "TestTheThirdJobInARowThatIsNotFoundHoldsTheKind"}},
	},
	{
		name:  "odd-answer-lifts-hold", // lets a firewall's answer to a test call lift a hold
		pkg:   "worker",
		old:   `		return gate.Outcome{Kind: gate.Foreign}`,
		new:   `		return gate.Outcome{Kind: gate.Answered}`,
		tests: []testName{{"worker", "TestAnOddAnswerSaysNothingToTheGate"}},
	},
	{
		name: "free-active-task", // replaces a task that a worker is processing
		pkg:  "internal/asynqx",
		old: `		return lease and tonumber(lease) > now - tonumber(ARGV[5]) and redis.call('LPOS', KEYS[2], id)
`,
		new: `		return false
`,
		tests: []testName{{"internal/asynqx", "TestATaskDrivesOnlyIfItWillBeDelivered"}},
	},
	{
		name:  "erase-images-once", // leaves the image that a worker stores which was paused during the erasure
		pkg:   "worker",
		old:   `	return rec.Erased != nil && v.Age < erasureSettles`,
		new:   `	return false && v.Age < erasureSettles`,
		tests: []testName{{"worker", "TestAPausedWorkerDoesNotBringAnErasedImageBack"}},
	},
	{
		name:  "drop-late-answer", // drops an answer that comes after its call was taken over
		pkg:   "worker",
		old:   `	return a.paid() && rec.Erased == nil && `,
		new:   `	return false && rec.Erased == nil && `,
		tests: []testName{{"worker", "TestModelNeverLosesNorPaysTwice"}},
	},
	{
		name:  "drop-earlier-results", // a further run drops the results of the runs before it
		pkg:   "storage",
		old:   `kept.Attempts, append(kept.Earlier, kept.currentRun())`,
		new:   `kept.Attempts, kept.Earlier`,
		tests: []testName{{"worker", "TestModelNeverLosesNorPaysTwice"}},
	},
	{
		name: "park", // delays a job for an hour after an error of S3 or Redis
		pkg:  "worker",
		old:  `done(later(infraDelay, infraReason(err, part)))`,
		new:  `done(later(infraDelay+time.Hour, infraReason(err, part)))`,
		tests: []testName{
			{"worker", "TestModelNeverLosesNorPaysTwice"},
			{faults, "TestS3Down/claim"},
		},
	},
	{
		name: "answer-as-unknown", // takes the answers about passports for lost ones
		pkg:  "worker",
		old:  `			return ruling{next: toFinal, state: storage.StateValid, result: resultAnswered, counted: true}`,
		new:  `			return ruling{next: toRetry, result: resultUnknown, code: "answer_unknown", counted: true}`,
		tests: []testName{
			{"worker", "TestAPassportIsCheckedOnceAndForAll"},
			{faults, "TestKilledAtEachStep/success/answered"},
		},
	},
	{
		name: "mark-every-call", // marks calls as reissues that cannot pay again
		pkg:  "worker",
		old: `	return slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool {
		return at.ProviderID != next`,
		new: `	return true || slices.ContainsFunc(rec.Attempts, func(at storage.Attempt) bool {
		return at.ProviderID != next`,
		tests: []testName{
			{"worker", "TestModelNeverLosesNorPaysTwice"},
			{faults, "TestS3RepliesLost/sent"},
		},
	},
	{
		name: "drop-reference", // loses the vendor's number of a result when the job ends
		pkg:  "worker",
		old: `	rec.CompletedAt, rec.Ending = now(), true
	noteCharge(rec)
`,
		new: `	rec.CompletedAt, rec.Ending, rec.ReferenceID = now(), true, 0
	noteCharge(rec)
`,
		tests: []testName{{faults, "TestS3RepliesLost/valid"}},
	},
	{
		name: "restore-no-pauses", // forgets the operator's pauses with the data of Redis
		pkg:  "internal/pauses",
		old:  `Holds: doc.Holds}, err`,
		new:  `Holds: nil}, err`,
		tests: []testName{
			{"internal/pauses", "TestAPauseSurvivesTheLossOfRedisData"},
			{faults, "TestRedisCameBackOlder"},
		},
	},
	{
		name:  "trust-another-server", // reads no pauses after a failover to a replica that lacks the last one
		pkg:   "internal/pauses",
		old:   `asked == server && failed == nil`,
		new:   `(asked == server || true) && failed == nil`,
		tests: []testName{{"internal/pauses", "TestAPauseSurvivesAFailoverToAReplicaThatLacksIt"}},
	},
	{
		name: "skip-open-rows", // does not look for the tasks of a batch's open rows
		pkg:  "internal/batch",
		old: `	if err != nil || !due {
		return err
	}
	missing := 0
`,
		new: `	if err != nil || due {
		return err
	}
	missing := 0
`,
		tests: []testName{{"internal/batch", "TestLostTasksAreFedAgain"}},
	},
	{
		name: "work-with-wrong-clock", // takes jobs although the clock is wrong
		pkg:  "internal/clocks",
		old:  `	if !ok1 || !ok2 || min(`,
		new:  `	if true || !ok1 || !ok2 || min(`,
		tests: []testName{
			{"internal/clocks", "TestAWorkerWorksOnlyWhileItsClockIsRight"},
			{faults, "TestClockWrong"},
		},
	},
	{
		name:  "skip-fence", // stores an image however long ago the record was read
		pkg:   "worker",
		old:   `putMasked(storage.Fence(ctx, d.seen), d.MaskedImages`,
		new:   `putMasked(ctx, d.MaskedImages`,
		tests: []testName{{"worker", "TestAnImageIsNotStoredLongAfterItsRecordWasRead"}},
	},
}
