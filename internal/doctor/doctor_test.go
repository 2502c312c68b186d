package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/doctor"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fakeRedis struct {
	found  []redisx.Finding
	err    error
	memory redisx.Memory
	queued []tasks.JobSpec
	ahead  time.Duration
	holds  []hold.Hold
	// alive are the workers, besides one that is not alive; none: one worker
	alive []redisx.Worker
	late  bool // images have not been renewed
	// paused are kinds by queue
	paused map[string]string
}

func (r fakeRedis) Paused(context.Context) (map[string]string, error) { return r.paused, r.err }

func (r fakeRedis) Renewed(context.Context) (bool, error) { return !r.late, nil }

func (r fakeRedis) Workers(context.Context) ([]redisx.Worker, error) {
	if r.alive == nil {
		return []redisx.Worker{{Host: "one"}}, r.err
	}
	return append(r.alive, redisx.Worker{Host: "gone", SeenAgo: time.Hour, Settings: map[string]string{"aadhaar_rate": "1/m"}}), r.err
}

func (r fakeRedis) Clock(context.Context) (time.Duration, error) { return r.ahead, nil }

func (r fakeRedis) Check(context.Context, access.Role) ([]redisx.Finding, error) {
	return r.found, r.err
}
func (r fakeRedis) Memory(context.Context) (redisx.Memory, error)   { return r.memory, nil }
func (r fakeRedis) Holds(context.Context) ([]hold.Hold, error)      { return r.holds, r.err }
func (r fakeRedis) Queued(context.Context) ([]tasks.JobSpec, error) { return r.queued, r.err }

type fakeStore struct {
	ahead  time.Duration
	err    error
	trials []objects.BucketCheck
	denied []access.Permission
	failed error // of Denied
}

func (s fakeStore) Clock(context.Context) (time.Duration, error) { return s.ahead, s.err }
func (s fakeStore) Denied(context.Context, []access.Permission, error) ([]access.Permission, error) {
	return s.denied, s.failed
}
func (s fakeStore) Check(context.Context) []objects.BucketCheck { return s.trials }

type fakeVendor cashfree.Reply

func (v fakeVendor) Check(context.Context) *cashfree.Reply { r := cashfree.Reply(v); return &r }

func (v fakeVendor) ImageRoute(context.Context) cashfree.ImageRoute { return cashfree.ImageRoute{} }

func trials(err error) []objects.BucketCheck {
	return []objects.BucketCheck{
		{Role: "inbox", Bucket: "a", Err: err}, {Role: "masked", Bucket: "b", Err: err}, {Role: "records", Bucket: "c", Err: err},
	}
}

func healthy(t *testing.T) doctor.Target {
	t.Helper()
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return doctor.Target{
		Role: access.Worker, Redis: fakeRedis{}, Store: fakeStore{trials: trials(nil)}, Keyset: keyset,
		Vendor: fakeVendor{Class: cashfree.Rejected, HTTPStatus: 400},
	}
}

// findings are "status check", in order.
func findings(target doctor.Target) string {
	var all []string
	for _, f := range doctor.Run(context.Background(), target) {
		if f.Status == doctor.Warning || f.Status == doctor.Failure {
			all = append(all, string(f.Status)+" "+f.Check+" "+string(f.Cause))
		}
	}
	return strings.Join(all, ", ")
}

func TestAHealthyTargetHasNoFindings(t *testing.T) {
	t.Parallel()
	if got := findings(healthy(t)); got != "" {
		t.Error(got)
	}
}

func TestAFaultOfAllBucketsIsReportedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		store fakeStore
		want  string
	}{
		"refused":          {fakeStore{trials: trials(fmt.Errorf("x: %w", objects.ErrDenied))}, "fail s3 credentials"},
		"silent":           {fakeStore{trials: trials(objects.ErrUnreachable)}, "fail s3 unreachable"},
		"silent at once":   {fakeStore{err: objects.ErrUnreachable, trials: trials(objects.ErrUnreachable)}, "fail s3 unreachable"},
		"no credentials":   {fakeStore{err: objects.ErrDenied, trials: trials(objects.ErrDenied)}, "fail s3 credentials"},
		"clock behind":     {fakeStore{ahead: -20 * time.Minute, trials: trials(objects.ErrDenied)}, "fail clock environment"},
		"clock odd":        {fakeStore{ahead: time.Minute, trials: trials(nil)}, "warn clock "},
		"one refused":      {fakeStore{trials: append(trials(nil)[:2], objects.BucketCheck{Role: "records", Err: objects.ErrDenied})}, "fail s3-records credentials"},
		"one public":       {fakeStore{trials: append(trials(nil)[:2], objects.BucketCheck{Role: "records", Public: true})}, "fail s3-records environment"},
		"another fault":    {fakeStore{trials: append(trials(nil)[:2], objects.BucketCheck{Role: "records", Err: errors.New("x")})}, "fail s3-records environment"},
		"without a lock":   {fakeStore{trials: append(trials(nil)[:2], objects.BucketCheck{Role: "records", Err: objects.ErrNoConditions})}, "fail s3-records environment"},
		"one permission":   {fakeStore{trials: append(trials(nil)[:2], objects.BucketCheck{Role: "records", Err: objects.ErrDenied}), denied: []access.Permission{{Bucket: "records", Action: "PutObject", Key: "open/"}}}, "fail s3-records-permissions credentials"},
		"old versions":     {fakeStore{trials: trials(nil), denied: []access.Permission{{Bucket: "inbox", Action: "ListBucketVersions"}}}, "warn s3-inbox-permissions "},
		"one bucket is no": {fakeStore{trials: append(trials(nil)[:2], objects.BucketCheck{Role: "records", Err: objects.ErrNoBucket})}, "fail s3-records environment"},
	} {
		target := healthy(t)
		target.Store = c.store
		if got := findings(target); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFindingForEachClassOfReply(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	for _, c := range []struct {
		reply cashfree.Reply
		want  string
	}{
		{cashfree.Reply{Class: cashfree.Rejected, HTTPStatus: 400}, ""},
		{cashfree.Reply{Class: cashfree.Rejected, HTTPStatus: 422}, ""},
		{cashfree.Reply{Class: cashfree.Rejected, HTTPStatus: 400, Foreign: true}, "fail cashfree settings"}, // an S3 server
		{cashfree.Reply{Class: cashfree.RateLimited, HTTPStatus: 429, Foreign: true}, "fail cashfree settings"},
		{cashfree.Reply{Class: cashfree.Rejected, HTTPStatus: 404}, "fail cashfree settings"},
		{cashfree.Reply{Class: cashfree.Credentials, HTTPStatus: 401}, "fail cashfree credentials"},
		{cashfree.Reply{Class: cashfree.NotAllowed, HTTPStatus: 403}, "fail cashfree credentials"},
		{cashfree.Reply{Class: cashfree.NoBalance, HTTPStatus: 422}, "fail cashfree balance"},
		{cashfree.Reply{Class: cashfree.RateLimited, HTTPStatus: 429}, "warn cashfree "},
		{cashfree.Reply{Class: cashfree.NotSent, Err: refused}, "fail cashfree unreachable"},
		{cashfree.Reply{Class: cashfree.Lost, Err: refused}, "fail cashfree unreachable"},
		{cashfree.Reply{Class: cashfree.OtherStatus, HTTPStatus: 502}, "warn cashfree "},
		{cashfree.Reply{Class: cashfree.OtherStatus, HTTPStatus: 301}, "fail cashfree settings"},
		{cashfree.Reply{Class: cashfree.Unexpected, HTTPStatus: 200}, "fail cashfree settings"},
	} {
		target := healthy(t)
		target.Vendor = fakeVendor(c.reply)
		if got := findings(target); got != c.want {
			t.Errorf("%s %d: %q, want %q", c.reply.Class, c.reply.HTTPStatus, got, c.want)
		}
	}
}

// routedVendor also says how image links are fetched.
type routedVendor struct {
	fakeVendor
	route cashfree.ImageRoute
}

func (v routedVendor) ImageRoute(context.Context) cashfree.ImageRoute { return v.route }

func TestTheRouteOfImageLinksIsReported(t *testing.T) {
	t.Parallel()
	hosts := []cashfree.ImageHost{{Host: "a.example"}, {Host: "b.example", Err: errors.New("refused")}}
	for _, c := range []struct {
		route cashfree.ImageRoute
		want  string
	}{
		{cashfree.ImageRoute{CallsProxied: true}, "warn image-links "},
		{cashfree.ImageRoute{Proxied: true, Hosts: hosts[:1]}, ""},
		{cashfree.ImageRoute{Proxied: true, CallsProxied: true, Hosts: hosts}, "fail image-links unreachable"},
	} {
		target := healthy(t)
		target.Vendor = routedVendor{fakeVendor{Class: cashfree.Rejected, HTTPStatus: 400}, c.route}
		if got := findings(target); got != c.want {
			t.Errorf("%+v: %q, want %q", c.route, got, c.want)
		}
	}
}

func TestAVolatileRedisIsAWarningIfAllowed(t *testing.T) {
	t.Parallel()
	target := healthy(t)
	target.Redis = fakeRedis{found: []redisx.Finding{{Code: "eviction", Refuse: true, Volatile: true}}}
	if got := findings(target); got != "fail redis-eviction environment" {
		t.Error(got)
	}
	target.AllowVolatile = true
	if got := findings(target); got != "warn redis-eviction " {
		t.Error(got)
	}
}

func TestEachFindingOfRedisHasItsStatus(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]redisx.Finding{
		"fail redis-permissions credentials": {Code: "permissions", Refuse: true},
		"fail redis-replica environment":     {Code: "replica", Refuse: true},
		"warn redis-persistence ":            {Code: "persistence", Volatile: true},
		"warn redis-info ":                   {Code: "info", Volatile: true},
	} {
		target := healthy(t)
		target.Redis = fakeRedis{found: []redisx.Finding{f}}
		if got := findings(target); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A role is not asked for what it does not need.
func TestEachRoleHasItsChecks(t *testing.T) {
	t.Parallel()
	for role, want := range map[access.Role]string{access.Worker: "keyset cashfree workers", access.Producer: "keyset workers", access.Dashboard: ""} {
		target := healthy(t)
		target.Role = role
		var got []string
		for _, check := range []string{"keyset", "cashfree", "workers"} {
			if slices.ContainsFunc(doctor.Run(t.Context(), target), func(f doctor.Finding) bool { return f.Check == check }) {
				got = append(got, check)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q", role, got)
		}
	}
}

func TestPermissionsThatCannotBeTriedAreAFailure(t *testing.T) {
	t.Parallel()
	target := healthy(t)
	target.Role, target.Store = access.Producer, fakeStore{failed: objects.ErrUnreachable}
	if got := findings(target); got != "fail s3 unreachable" {
		t.Error(got)
	}
}

// A bucket that requires encryption denies every write; its error names the setting.
func TestRequiredEncryptionIsNotAMissingPermission(t *testing.T) {
	t.Parallel()
	target := healthy(t)
	puts := slices.DeleteFunc(access.S3(access.Worker), func(p access.Permission) bool { return p.Action != "PutObject" })
	target.Store = fakeStore{trials: trials(objects.ErrDenied), denied: puts}
	if got := findings(target); got != "fail s3 credentials" {
		t.Error(got)
	}
}

func TestExposedSettingsAreAWarning(t *testing.T) {
	t.Parallel()
	target := healthy(t)
	target.Careless = []string{"KYCQ_S3_ENDPOINT sends images unencrypted: use https://"}
	if found := doctor.Run(t.Context(), target); found[0].Check != "settings-exposed" || found[0].Status != doctor.Warning || found[0].Fix != "use https://" {
		t.Errorf("%+v", found[0])
	}
}

func TestRedisMemoryLevels(t *testing.T) {
	t.Parallel()
	for used, want := range map[int64]string{10: "", 49: "", 51: "warn redis-memory ", 70: "fail redis-memory environment", 100: "fail redis-memory environment"} {
		target := healthy(t)
		target.Redis = fakeRedis{memory: redisx.Memory{Used: used << 20, Max: 100 << 20}}
		if got := findings(target); got != want {
			t.Errorf("%d %%: %q, want %q", used, got, want)
		}
	}
}

func TestTheDigitCheckIsNamed(t *testing.T) {
	t.Parallel()
	away := errors.New("Tesseract cannot be used")
	for _, c := range []struct {
		version  string
		err      error
		required bool
		want     string
	}{
		{"off", nil, false, ""},
		{"tesseract 5.3.0", nil, true, ""},
		{"off", away, false, "warn digit-check "},
		{"off", away, true, "fail digit-check settings"},
	} {
		target := healthy(t)
		target.DigitCheck, target.DigitErr, target.DigitRequired = c.version, c.err, c.required
		if got := findings(target); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestEachHoldIsAWarning(t *testing.T) {
	t.Parallel()
	target := healthy(t)
	target.Redis = fakeRedis{holds: []hold.Hold{{Cause: hold.Operator}, {Cause: hold.Vendor, Kind: "passport"}}}
	if got := findings(target); got != "warn holds , warn holds " {
		t.Error(got)
	}
}

func TestWorkersThatDifferOrAreMissingAreNamed(t *testing.T) {
	t.Parallel()
	worker := func(host, rate string) redisx.Worker {
		return redisx.Worker{Host: host, PID: 7, Settings: map[string]string{"aadhaar_rate": rate, "passport_rate": "100/m"}}
	}
	for want, alive := range map[string][]redisx.Worker{
		"no worker is alive: no job is processed": {},
		"2 alive": {worker("one", "100/m"), worker("two", "100/m")},
		"3 alive; workers differ in aadhaar_rate: 100/m on one (pid 7), three (pid 7); 50/m on two (pid 7)": {worker("one", "100/m"), worker("two", "50/m"), worker("three", "100/m")},
	} {
		target := healthy(t)
		target.Redis = fakeRedis{alive: alive}
		var got []string
		for _, f := range doctor.Run(t.Context(), target) {
			if f.Check == "workers" {
				got = append(got, f.Message)
			}
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s\nwant %s", strings.Join(got, "; "), want)
		}
	}
}

func TestTheKeysetMustDecryptQueuedJobs(t *testing.T) {
	t.Parallel()
	target := healthy(t)
	foreign := healthy(t).Keyset
	job := func(by *tasks.Keyset, sealedFor string) tasks.JobSpec {
		sealed, err := by.Seal([]byte("specimen"), tasks.InputBinding(tasks.Passport, sealedFor))
		if err != nil {
			t.Fatal(err)
		}
		return tasks.JobSpec{Kind: tasks.Passport, VerificationID: "A", SealedInput: sealed}
	}
	for name, c := range map[string]struct {
		job  tasks.JobSpec
		want string
	}{
		"its own":         {job(target.Keyset, "A"), ""},
		"another keyset":  {job(foreign, "A"), "fail keyset-queues settings"},
		"another job's":   {job(target.Keyset, "B"), "fail keyset-queues environment"},
		"nothing is open": {tasks.JobSpec{Kind: tasks.Passport, VerificationID: "A", SealedInput: "kq1.x"}, "fail keyset-queues environment"},
	} {
		target.Redis = fakeRedis{queued: []tasks.JobSpec{c.job}}
		if got := findings(target); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDependentChecksAreSkipped(t *testing.T) {
	t.Parallel()
	target := doctor.Target{Role: access.Worker, Problems: []string{"KYCQ_LISTEN: \"x\" is not an address: write host:port"}}
	if got := findings(target); got != "fail settings settings" {
		t.Error(got)
	}
	found := doctor.Run(context.Background(), target)
	if found[0].Fix != "write host:port" || doctor.Worst(found) != doctor.Failure {
		t.Errorf("%+v", found[0])
	}
}

func TestTheClockThatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s3, redis time.Duration
		status    doctor.Status
		names     string
	}{
		"none":                  {time.Second, -2 * time.Second, doctor.OK, "agree"},
		"this machine's":        {10 * time.Second, 9 * time.Second, doctor.Warning, "this machine is 10s ahead"},
		"this machine's by far": {-time.Hour, -time.Hour, doctor.Failure, "this machine is 1h0m0s behind: a worker here takes no jobs"},
		"of Redis":              {0, time.Minute, doctor.Warning, "Redis is 1m0s behind"},
		"of S3":                 {-time.Minute, 0, doctor.Warning, "S3 is 1m0s ahead"},
		"of S3 by far":          {time.Hour, 0, doctor.Failure, "S3 is 1h0m0s behind"},
	} {
		found := doctor.Run(t.Context(), doctor.Target{Role: access.Worker, Redis: fakeRedis{ahead: c.redis}, Store: fakeStore{ahead: c.s3, trials: trials(nil)}})
		i := slices.IndexFunc(found, func(f doctor.Finding) bool { return f.Check == "clock" })
		if i < 0 || found[i].Status != c.status || !strings.Contains(found[i].Message, c.names) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// A hold pauses the queues of its kind, too, and is reported as a hold.
func TestAQueueThatWasPausedByHandIsAWarning(t *testing.T) {
	t.Parallel()
	target := healthy(t)
	target.Redis = fakeRedis{
		holds:  []hold.Hold{{Cause: hold.Balance, Kind: "aadhaar", Reason: "no balance", NextAction: "top up"}},
		paused: map[string]string{"aadhaar-bulk": "aadhaar", "passport-bulk": "passport", "feed": ""},
	}
	var got []string
	for _, f := range doctor.Run(t.Context(), target) {
		if f.Check == "queues" {
			got = append(got, string(f.Status)+" "+f.Message)
		}
	}
	want := "warn the queue feed is paused by hand: its tasks wait, warn the queue passport-bulk is paused by hand: its tasks wait"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q", got)
	}
}

func TestADamagedListOfWebhookEndpointsIsAWarning(t *testing.T) {
	t.Parallel()
	target := doctor.Target{Role: access.Worker, Subscribers: func(context.Context) ([]storage.Subscriber, error) { return nil, storage.ErrDamagedSubscribers }}
	if !slices.ContainsFunc(doctor.Run(t.Context(), target), func(f doctor.Finding) bool {
		return f.Check == "webhooks" && f.Status == doctor.Warning && strings.Contains(f.Fix, "kycq serve")
	}) {
		t.Error("no warning")
	}
}
