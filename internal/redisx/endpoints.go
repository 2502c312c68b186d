package redisx

import (
	"context"
	"encoding/json"
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
