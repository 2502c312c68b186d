package worker

import "context"

// guardCrash runs parse, which handles untrusted bytes, under the crash-loop guard: a count in Redis is raised before and
// cleared after it, so a worker that crashes in between leaves it raised. At maxCrashes, parse does not run and crashLoop
// is true. The error is that of parse or of Redis.
//
// A job that may have crashed a worker is parsed while no other job of this process is, so that a crash is not attributed
// to the wrong job.
func (d *delivery) guardCrash(ctx context.Context, parse func() error) (crashLoop bool, err error) {
	kind, id := string(d.job.Kind), d.job.VerificationID
	count, err := d.Hints.CrashCount(ctx, kind, id)
	if err != nil {
		return false, err
	}
	if count >= maxCrashes {
		return true, nil
	}
	lock := d.parsing.RLocker()
	if count > 0 {
		lock = &d.parsing
	}
	lock.Lock()
	defer lock.Unlock()
	if _, err := d.Hints.RaiseCrashCount(ctx, kind, id); err != nil {
		return false, err
	}
	parseErr := parse()
	if err := d.Hints.ClearCrashCount(context.WithoutCancel(ctx), kind, id); err != nil {
		return false, err
	}
	return false, parseErr
}
