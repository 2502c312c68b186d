package worker

import (
	"time"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// unobserved is the Observer of a Processor without one.
type unobserved struct{}

func (unobserved) WaitedAtGate(tasks.Kind, tasks.Lane, time.Duration) {}
func (unobserved) Sending(tasks.Kind, storage.Attempt)                {}
func (unobserved) Called(tasks.Kind, cashfree.Class, time.Duration)   {}
func (unobserved) Finished(*storage.Record)                           {}
func (unobserved) MaskChecked(string)                                 {}
func (unobserved) RecordWritten(tasks.Kind, bool)                     {}
func (unobserved) Held(string)                                        {}
