package tasks

import "fmt"

// Kind says which check a job asks for. It is part of S3 keys, Redis keys and queue names.
type Kind string

// The two kinds of check.
const (
	Aadhaar  Kind = "aadhaar"
	Passport Kind = "passport"
)

// Kinds lists every kind, in the order in which they are shown.
func Kinds() []Kind { return []Kind{Aadhaar, Passport} }

// ParseKind reads a kind as it stands on the wire.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case Aadhaar, Passport:
		return k, nil
	}
	return "", fmt.Errorf("unknown kind %q: use aadhaar or passport", s)
}

// Lane says who waits for the answer: an app (live) or nobody in particular (bulk).
type Lane string

// The two lanes. A live job takes the next slot of the rate before any waiting bulk job of its kind.
const (
	Live Lane = "live"
	Bulk Lane = "bulk"
)

// Lanes lists every lane, the faster first.
func Lanes() []Lane { return []Lane{Live, Bulk} }

// ParseLane reads a lane as it stands on the wire.
func ParseLane(s string) (Lane, error) {
	switch l := Lane(s); l {
	case Live, Bulk:
		return l, nil
	}
	return "", fmt.Errorf("unknown lane %q: use live or bulk", s)
}

// Queue is the name of the asynq queue of a kind and a lane, for example "aadhaar-live".
func Queue(k Kind, l Lane) string { return string(k) + "-" + string(l) }

// Queues lists the four queues.
func Queues() []string {
	var queues []string
	for _, k := range Kinds() {
		for _, l := range Lanes() {
			queues = append(queues, Queue(k, l))
		}
	}
	return queues
}

// TypeName is the asynq task type of a kind.
func TypeName(k Kind) string { return "kyc:" + string(k) }
