package main

import (
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/hold"
)

// holdStatus is how commands print the holds as JSON. Hold is the first of them, if any.
type holdStatus struct {
	Hold  *hold.Hold  `json:"hold"`
	Holds []hold.Hold `json:"holds"`
}

func holdStatusOf(holds []hold.Hold) holdStatus {
	st := holdStatus{Holds: append([]hold.Hold{}, holds...)}
	if len(holds) > 0 {
		st.Hold = &holds[0]
	}
	return st
}

// describeHolds lists the holds, and what to do about each.
func describeHolds(holds []hold.Hold) string {
	if len(holds) == 0 {
		return "hold: none\n"
	}
	var text strings.Builder
	for _, h := range holds {
		_, _ = fmt.Fprintf(&text, "hold: %s\n", describeHold(h))
		if !h.Probing {
			_, _ = fmt.Fprintf(&text, "next: %s\n", h.NextAction)
		}
	}
	return text.String()
}

func describeHold(h hold.Hold) string {
	text := fmt.Sprintf("%s: %s, since %s", h.Code, h.Reason, stamp(h.Since))
	if h.Kind != "" {
		text = h.Kind + " only: " + text
	}
	if h.Probing {
		text = "one test call decides; " + text
	}
	for _, part := range []struct{ before, name string }{{", by ", h.By}, {" on ", h.Host}, {", process ", h.Worker}, {", job ", strings.TrimSpace(h.JobKind + " " + h.Job)}} {
		if part.name != "" {
			text += part.before + part.name
		}
	}
	return text
}
