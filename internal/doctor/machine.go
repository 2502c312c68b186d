package doctor

import (
	"context"
	"slices"
	"strings"
	"time"
)

func checkSettings(_ context.Context, t Target) []Finding {
	const check = "settings"
	var found []Finding
	// Warnings count as failures here: an unknown variable is a setting that has no effect.
	for _, line := range slices.Concat(t.Problems, t.Warnings) {
		found = append(found, settingFailure(check, line))
	}
	for _, line := range t.Careless {
		i := strings.LastIndex(line, ": ")
		found = append(found, warning("settings-exposed", line[:i], line[i+2:]))
	}
	if len(found) == 0 {
		found = append(found, fine(check, "all settings are valid"))
	}
	return found
}

// settingFailure splits a problem of the settings ("what is wrong: what to do") into message and fix.
func settingFailure(check, line string) Finding {
	if i := strings.LastIndex(line, ": "); i > 0 {
		return failure(check, Settings, line[:i], line[i+2:])
	}
	return failure(check, Settings, line, "correct it, or remove it")
}

func checkZone(_ context.Context, t Target) []Finding {
	const check = "time-zone"
	if _, err := time.LoadLocation(t.Zone); err != nil {
		return []Finding{warning(check, "unknown time zone in TZ: the console log uses UTC",
			"set TZ to a name such as Asia/Kolkata, or install tzdata")}
	}
	return []Finding{fine(check, "the console log uses "+time.Now().Format("MST (-07:00)")+"; records, reports and metrics use UTC")}
}
