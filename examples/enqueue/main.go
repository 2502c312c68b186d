// Enqueue checks one document the way an app does: it enqueues a job and waits for the result.
//
//	export KYCQ_KEYSET_FILE=keyset.json AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
//	go run ./examples/enqueue -id P-0001                  # a specimen passport
//	go run ./examples/enqueue -id A-0001 -image card.jpg  # an Aadhaar image
//
// The buckets must exist (kycq storage init), and a worker must run (kycq worker).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func main() {
	addr := flag.String("redis", "127.0.0.1:6379", "Redis address")
	endpoint := flag.String("s3", "http://127.0.0.1:9000", "S3 endpoint; empty for AWS")
	id := flag.String("id", "P-0001", "verification_id, unique per kind")
	image := flag.String("image", "", "file of an Aadhaar image; empty: check a specimen passport")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, *addr, *endpoint, *id, *image); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, endpoint, id, image string) error {
	doc, err := os.ReadFile(os.Getenv("KYCQ_KEYSET_FILE"))
	if err != nil {
		return err
	}
	keyset, err := tasks.ParseKeyset(doc)
	if err != nil {
		return err
	}
	store, err := storage.Open(ctx, storage.Config{Endpoint: endpoint}) // the default buckets
	if err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Ledger: store, Keyset: keyset})
	if err != nil {
		return err
	}

	job := passport(id)
	if image != "" {
		if job, err = aadhaar(ctx, store, id, image); err != nil {
			return err
		}
	}
	receipt, err := client.Enqueue(ctx, job)
	if err != nil {
		return err
	}
	fmt.Printf("%s %s: %s\n", receipt.Kind, receipt.VerificationID, receipt.Status)

	result, err := store.Wait(ctx, receipt.Kind, receipt.VerificationID)
	if err != nil {
		return err
	}
	fmt.Printf("%s %s: %s %s\n", result.Kind, result.VerificationID, result.State, result.Message)
	return nil
}

func passport(id string) tasks.Job {
	return tasks.Job{
		Kind: tasks.Passport, VerificationID: id,
		Input: tasks.Input{Passport: &tasks.PassportInput{
			FileNumber: tasks.NewPersonal("SPECIMEN00001"),
			DOB:        tasks.NewPersonal("1990-01-31"),
			Name:       tasks.NewPersonal("Specimen Person"),
		}},
	}
}

func aadhaar(ctx context.Context, store *storage.Store, id, file string) (tasks.Job, error) {
	f, err := os.Open(file)
	if err != nil {
		return tasks.Job{}, err
	}
	defer f.Close()
	image, err := store.UploadImage(ctx, storage.SingleGroup, id, f)
	if err != nil {
		return tasks.Job{}, err
	}
	return tasks.Job{Kind: tasks.Aadhaar, VerificationID: id, Input: tasks.Input{Image: &image}}, nil
}
