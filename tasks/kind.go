package tasks

import "fmt"

// Kind is the document that a job checks. It is part of S3 keys, Redis keys and queue names.
type Kind string

// The two kinds of check.
const (
	Aadhaar  Kind = "aadhaar"
	Passport Kind = "passport"
)

// Kinds returns all kinds, in display order.
func Kinds() []Kind { return []Kind{Aadhaar, Passport} }

// ParseKind parses a kind.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case Aadhaar, Passport:
		return k, nil
	}
	return "", fmt.Errorf("unknown kind %q: use aadhaar or passport", s)
}

// Lane is the priority of a job.
type Lane string

// The two lanes. Live jobs are called before all bulk jobs of their kind.
const (
	Live Lane = "live"
	Bulk Lane = "bulk"
)

// Lanes returns all lanes, the faster first.
func Lanes() []Lane { return []Lane{Live, Bulk} }

// ParseLane parses a lane.
func ParseLane(s string) (Lane, error) {
	switch l := Lane(s); l {
	case Live, Bulk:
		return l, nil
	}
	return "", fmt.Errorf("unknown lane %q: use live or bulk", s)
}

// Queue returns the asynq queue of a kind and a lane, for example "aadhaar-live".
func Queue(k Kind, l Lane) string { return string(k) + "-" + string(l) }

// Queues returns the four queues.
func Queues() []string {
	var queues []string
	for _, k := range Kinds() {
		for _, l := range Lanes() {
			queues = append(queues, Queue(k, l))
		}
	}
	return queues
}

// TypeName returns the asynq task type of a kind.
func TypeName(k Kind) string { return "kyc:" + string(k) }
