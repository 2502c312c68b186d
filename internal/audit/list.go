package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// List returns the events of all writers from since on, by time. Events that cannot be read are only counted; Verify says what
// is wrong with them.
func List(ctx context.Context, bucket Bucket, since time.Time) (events []Event, unreadable int, err error) {
	writers, err := new(Report).writers(ctx, bucket)
	if err != nil {
		return nil, 0, fmt.Errorf("list audit trail: %w", err)
	}
	events = []Event{}
	for _, writer := range writers {
		found, bad, err := list(ctx, bucket, writer, since)
		if err != nil {
			return nil, 0, fmt.Errorf("list audit trail of %s: %w", writer, err)
		}
		events, unreadable = append(events, found...), unreadable+bad
	}
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	return events, unreadable, nil
}

// list reads a chain from its end, to the first part with an event that is too old and none that is not.
func list(ctx context.Context, bucket Bucket, writer string, since time.Time) (events []Event, unreadable int, err error) {
	seqs, err := listEvents(ctx, bucket, writer)
	if err != nil {
		return nil, 0, err
	}
	for len(seqs) > 0 {
		part := seqs[max(0, len(seqs)-window):]
		seqs = seqs[:len(seqs)-len(part)]
		lines, err := readEvents(ctx, bucket, writer, part)
		if err != nil {
			return nil, 0, err
		}
		found, old := 0, 0
		for _, line := range lines {
			e, err := decodeEvent(line)
			switch {
			case err != nil:
				unreadable++
			case e.At.Before(since):
				old++
			default:
				events, found = append(events, e), found+1
			}
		}
		if found == 0 && old > 0 {
			break
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return events, unreadable, nil
}
