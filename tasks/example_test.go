package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// An app that waits for one answer enqueues a live job. In production the Ledger is a *storage.Store, and the keyset is
// read from a file with tasks.ParseKeyset. See storage.Store.Wait for the result.
func ExampleClient_Enqueue_passport() {
	client, stop := exampleClient()
	defer stop()
	receipt, err := client.Enqueue(context.Background(), tasks.Job{
		Kind:           tasks.Passport,
		VerificationID: "customer-4711",
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

// An Aadhaar job refers to an image in S3: here one that the app has put there itself. See storage.Store.UploadImage for
// one that kycq uploads, and deletes after the check.
func ExampleClient_Enqueue_aadhaar() {
	client, stop := exampleClient()
	defer stop()
	receipt, err := client.Enqueue(context.Background(), tasks.Job{
		Kind:           tasks.Aadhaar,
		VerificationID: "customer-4711",
		Lane:           tasks.Bulk, // no person waits for this one
		Input:          tasks.Input{Image: &tasks.Image{Bucket: "customer-uploads", Key: "4711/aadhaar.jpg"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Queue, receipt.Status)
	// Output: aadhaar-bulk enqueued
}

// A form can show all its invalid fields at once.
func ExampleInvalidJobError() {
	err := tasks.Job{
		Kind:           tasks.Passport,
		VerificationID: "customer 4711",
		Input:          tasks.Input{Passport: &tasks.PassportInput{FileNumber: tasks.NewPersonal("PA1079341954215")}},
	}.Validate()
	var invalid *tasks.InvalidJobError
	if errors.As(err, &invalid) {
		for _, field := range invalid.Fields {
			fmt.Println(field.Code)
		}
	}
	// Output:
	// verification_id_value_invalid
	// dob_missing
}

// exampleClient stands in for a client of the app's own Redis and S3.
func exampleClient() (*tasks.Client, func()) {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
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
	return client, func() {
		_ = rdb.Close()
		server.Close()
	}
}
