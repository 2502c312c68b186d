// Enqueue is a complete program that hands one passport job to kycq's workers, as an app would.
//
//	KYCQ_KEYSET_FILE=keyset.json AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... \
//	go run ./examples/enqueue -redis 127.0.0.1:6379 -s3 http://127.0.0.1:9000 -id P-0001
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func main() {
	addr := flag.String("redis", "127.0.0.1:6379", "Redis address")
	endpoint := flag.String("s3", "http://127.0.0.1:9000", "S3 endpoint; empty for AWS")
	id := flag.String("id", "P-0001", "verification_id, unique for ever")
	flag.Parse()
	if err := run(context.Background(), *addr, *endpoint, *id); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, endpoint, id string) error {
	doc, err := os.ReadFile(os.Getenv("KYCQ_KEYSET_FILE"))
	if err != nil {
		return err
	}
	keyset, err := tasks.ParseKeyset(doc)
	if err != nil {
		return err
	}
	store, err := storage.Open(ctx, storage.Config{
		Endpoint: endpoint, Region: "ap-south-1",
		InboxBucket: "kycq-inbox", MaskedBucket: "kycq-masked", RecordsBucket: "kycq-records",
	})
	if err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()

	client, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Ledger: store, Keyset: keyset})
	if err != nil {
		return err
	}
	receipt, err := client.Enqueue(ctx, tasks.Job{
		Kind: tasks.Passport, VerificationID: id, Lane: tasks.Live,
		Input: tasks.Input{Passport: &tasks.PassportInput{
			FileNumber: tasks.NewPersonal("SPECIMEN00001"),
			DOB:        tasks.NewPersonal("1990-01-31"),
			Name:       tasks.NewPersonal("Specimen Person"),
		}},
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s %s is %s in %s\n", receipt.Kind, receipt.VerificationID, receipt.Status, receipt.Queue)
	return nil
}
