// Package webhooks delivers events to HTTP endpoints by the Standard Webhooks specification
// (https://www.standardwebhooks.com).
//
// Endpoints are registered in a file that only `kycq serve` reads; webhooks.json in the records bucket lists their names, and
// which events they want. The worker or command that makes an event true first puts an object for each endpoint
// (storage.Event). Deliverer lists these objects, and deletes each after an endpoint has answered 2xx. Redis holds only which
// server delivers, and the backoff and last tries of endpoints. So each event arrives at least once, whatever is killed or wiped;
// only a hold that lasts less than 5 seconds may have none (internal/pauses). A repeated event has the same webhook-id, which is a
// hash of the object's key.
//
// The body is made from the record or batch at the time of the delivery. It holds no personal data. Of data that was erased
// meanwhile, it says `erased`. An object whose run did not end at the time in its key belongs to a write that did not happen
// and is deleted, as soon as that write is not to be expected any more.
//
// Invariants: an endpoint that fails delays no other; while it fails, one event is tried at a time, and those that have failed
// least come first, so that an event that is always refused delays no other. A round lists at most maxDue events. Requests go to public
// addresses over TLS, unless the endpoint allows private ones. Neither addresses nor secrets are logged.
package webhooks
