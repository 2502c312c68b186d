package redisx

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// EndpointState is how the deliveries to a webhook endpoint go. Redis holds it as a cache: if it is lost, the next delivery is tried at
// once, also to an endpoint that was stopped.
type EndpointState struct {
	// Since is when the first of the failures since the last success was, and Failures how many there were.
	Since    time.Time `json:"since,omitzero"`
	Failures int       `json:"failures,omitempty"`
	// Last describes the last failure: a status or a network error, without addresses.
	Last string `json:"last,omitempty"`
	// Next is the earliest time of the next try.
	Next time.Time `json:"next,omitzero"`
	// Stopped says why nothing is delivered any more; empty: it is not stopped.
	Stopped string `json:"stopped,omitempty"`
}

var endpointsKey = accountKey("webhooks")

// Endpoints reads the states of all endpoints that are failing or stopped.
func Endpoints(ctx context.Context, client redis.UniversalClient) (map[string]EndpointState, error) {
	texts, err := client.HGetAll(ctx, endpointsKey).Result()
	states := make(map[string]EndpointState, len(texts))
	for name, text := range texts {
		var s EndpointState
		if json.Unmarshal([]byte(text), &s) == nil {
			states[name] = s
		}
	}
	return states, wrap("read the states of webhook endpoints", err)
}

// SetEndpoint stores the state of an endpoint; the zero state means that it works.
func SetEndpoint(ctx context.Context, client redis.UniversalClient, name string, s EndpointState) error {
	if s == (EndpointState{}) {
		return wrap("reset a webhook endpoint", client.HDel(ctx, endpointsKey, name).Err())
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = client.HSet(ctx, endpointsKey, name, text).Err()
	}
	return wrap("store the state of a webhook endpoint", err)
}

// Delivery is an event that an endpoint is owed or, with SentAt, a try to deliver it.
type Delivery struct {
	Endpoint string    `json:"endpoint"`
	Event    string    `json:"event"`
	Kind     string    `json:"kind"`
	ID       string    `json:"id"`
	Run      int       `json:"run"`
	At       time.Time `json:"at"`
	SentAt   time.Time `json:"sent_at,omitzero"`
	Try      int       `json:"try,omitempty"`
	Result   string    `json:"result,omitempty"` // ok, or the failure
}

// keptDeliveries is how many tries of an endpoint Redis keeps, in a hash that is a ring.
const keptDeliveries = 100

// NoteDelivery adds a try to those that Deliveries returns.
func NoteDelivery(ctx context.Context, client redis.UniversalClient, d Delivery) error {
	key := accountKey("deliveries:" + d.Endpoint)
	n, err := client.HIncrBy(ctx, key, "count", 1).Result()
	if err == nil {
		text, _ := json.Marshal(d) // it has no type that fails
		err = client.HSet(ctx, key, strconv.FormatInt(n%keptDeliveries, 10), text).Err()
	}
	return wrap("note a delivery", err)
}

// Deliveries returns the last tries of an endpoint, the newest first.
func Deliveries(ctx context.Context, client redis.UniversalClient, endpoint string) ([]Delivery, error) {
	texts, err := client.HGetAll(ctx, accountKey("deliveries:"+endpoint)).Result()
	var list []Delivery
	for _, text := range texts {
		var d Delivery
		if json.Unmarshal([]byte(text), &d) == nil {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Delivery) int { return b.SentAt.Compare(a.SentAt) })
	return list, wrap("read the deliveries to an endpoint", err)
}
