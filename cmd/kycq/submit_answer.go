package main

import (
	"fmt"
	"strings"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/submit"
	"github.com/kycq/kycq/tasks"
)

// submitAnswer is what a submission prints.
type submitAnswer struct {
	Batch    string         `json:"batch"`
	Kind     tasks.Kind     `json:"kind"`
	Status   string         `json:"status"` // rejected, checked, submitted, already_submitted, amended
	Rows     int            `json:"rows"`
	Rejected int            `json:"rejected"`
	Blank    int            `json:"blank,omitempty"`
	Problems map[string]int `json:"problems,omitempty"`
	Rejects  string         `json:"rejects_file,omitempty"`
	// Derived counts the rows without a verification_id, SameInput those with the input of another row.
	Derived   int              `json:"derived_ids,omitempty"`
	SameInput int              `json:"duplicate_inputs,omitempty"`
	SameFile  []string         `json:"same_file_as,omitempty"` // other batches that were submitted from this file
	Estimate  *submit.Estimate `json:"estimate,omitempty"`

	plan *submit.Plan
}

func (s *submitAnswer) setPlan(plan *submit.Plan, source *submit.Source) {
	s.Rows, s.Rejected, s.Blank, s.Problems, s.plan = plan.Rows, plan.Rejected, plan.Blank, plan.Problems, plan
	s.Derived, s.SameInput = plan.Derived, plan.SameInput
	if plan.Rejected > 0 {
		s.Rejects = source.RejectsPath()
	}
}

func (s *submitAnswer) existing(b *batch.Batch) {
	s.Kind, s.Rows, s.Rejected = b.Kind, b.Rows, b.Rejected
}

func (s submitAnswer) text() string {
	var text strings.Builder
	counts := count(s.Rows+s.Rejected+s.Blank, "row")
	if s.Rejected+s.Blank > 0 {
		counts += fmt.Sprintf(": %d good, %d rejected", s.Rows, s.Rejected)
	}
	if s.Blank > 0 {
		counts += fmt.Sprintf(", %d blank", s.Blank)
	}
	if s.Status == "rejected" {
		_, _ = fmt.Fprintf(&text, "%s; nothing was submitted\n", counts)
	} else {
		_, _ = fmt.Fprintf(&text, "%s: %s\n", strings.ReplaceAll(s.Status, "_", " "), counts)
	}
	if s.plan != nil {
		for _, code := range s.plan.Codes() {
			_, _ = fmt.Fprintf(&text, "  %8d  %-28s %s\n", s.Problems[code], code, s.plan.Messages[code])
		}
	}
	if s.Rejects != "" {
		_, _ = fmt.Fprintf(&text, "rejects: %s\n", s.Rejects)
	}
	if s.Estimate != nil {
		_, _ = fmt.Fprint(&text, s.Estimate)
	}
	return text.String()
}
