package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kycq/kycq/internal/advice"
)

// failure is how many jobs ended with a code, and what to do about them.
type failure struct {
	Code       string `json:"code"`
	Count      int    `json:"count"`
	Message    string `json:"message"`
	NextAction string `json:"next_action"`
	Command    string `json:"command"`
}

// failuresOf lists the codes of a batch's rows, the most frequent first. Cancelled rows did not fail.
func failuresOf(batch string, codes map[string]int) []failure {
	list := []failure{}
	for code, n := range codes {
		if code != "cancelled" {
			list = append(list, failureOf(batch, code, n))
		}
	}
	slices.SortFunc(list, func(x, y failure) int { return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Code, y.Code)) })
	return list
}

func failureOf(batch, code string, n int) failure {
	text := advice.For(code)
	if batch != "" {
		batch = quote(batch) // from Redis
	}
	f := failure{Code: code, Count: n, Message: text.Message, NextAction: text.NextAction}
	retry := strings.Contains(text.NextAction, "`kycq job retry`")
	switch {
	case code == "unsafe_mask":
		f.Command = "kycq review list"
	case batch == "" && retry:
		f.Command = "kycq job retry ID"
	case batch == "":
		f.Command = "kycq job show ID"
	case code == "answer_lost":
		f.Command = "kycq batch retry " + batch + " --lost"
	case retry:
		f.Command = "kycq batch retry " + batch + " --code " + quote(code)
	default:
		f.Command = "kycq batch failures " + batch + " --code " + quote(code) + " --new-ids --out FILE"
	}
	return f
}

func failuresText(list []failure) string {
	var text strings.Builder
	for i, f := range list {
		if i == 0 {
			text.WriteString("failures\n")
		}
		_, _ = fmt.Fprintf(&text, "  %6d  %s: %s\n          next: %s\n          run:  %s\n", f.Count, f.Code, f.Message, f.NextAction, f.Command)
	}
	return text.String()
}
