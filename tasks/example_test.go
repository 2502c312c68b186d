package tasks_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// An app that wants one answer enqueues a live job. In production Redis and the Ledger (a *storage.Store) are the real
// ones, and the keyset is read from a file with tasks.ParseKeyset.
func ExampleClient_Enqueue() {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = rdb.Close() }()
	keyset, err := seal.Generate()
	if err != nil {
		log.Fatal(err)
	}

	client, err := tasks.NewClient(tasks.ClientConfig{
		Redis: rdb, Keyset: keyset, Ledger: &ledger{entries: map[string]tasks.JobSpec{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := client.Enqueue(context.Background(), tasks.Job{
		Kind:           tasks.Passport,
		VerificationID: "customer-4711",
		Lane:           tasks.Live,
		Input: tasks.Input{Passport: &tasks.PassportInput{
			FileNumber: tasks.NewPersonal("PA1079341954215"),
			DOB:        tasks.NewPersonal("2007-03-01"),
			Name:       tasks.NewPersonal("Specimen Person"),
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Queue, receipt.Status)
	// Output: passport-live enqueued
}
