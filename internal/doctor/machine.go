package doctor

import (
	"context"
	"strings"
	"time"
)

func checkSettings(_ context.Context, p Patient) []Finding {
	const check = "settings"
	var found []Finding
	for _, problem := range p.Problems {
		found = append(found, broken(check, problem))
	}
	// What kycq only warns of elsewhere, an unknown variable, is a setting that somebody believes to be in force.
	for _, w := range p.Warnings {
		found = append(found, broken(check, w))
	}
	if len(found) == 0 {
		found = append(found, fine(check, "every setting is known and can be used"))
	}
	return found
}

// broken splits a line of the configuration's ("what is wrong: what to do") into message and fix.
func broken(check, line string) Finding {
	if i := strings.LastIndex(line, ": "); i > 0 {
		return failure(check, Settings, line[:i], line[i+2:])
	}
	return failure(check, Settings, line, "correct it, or remove it")
}

func checkZone(_ context.Context, p Patient) []Finding {
	const check = "time-zone"
	if _, err := time.LoadLocation(p.Zone); err != nil {
		return []Finding{warning(check, "the time zone in TZ is not known here: times of the console log are shown in UTC",
			"set TZ to a name such as Asia/Kolkata, or install tzdata")}
	}
	return []Finding{fine(check, "the console log shows "+time.Now().Format("MST (-07:00)")+"; records, reports and metrics are in UTC")}
}
