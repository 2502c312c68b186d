package storage_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"log"
	"net/http/httptest"

	"github.com/alicebob/miniredis/v2"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// An app uploads an Aadhaar image and enqueues a job that refers to it.
func ExampleStore_UploadImage() {
	ctx := context.Background()
	store, client, stop := exampleStack(ctx)
	defer stop()

	card := specimenCard() // an *os.File in most apps
	img, err := store.UploadImage(ctx, storage.SingleGroup, "customer-4711", card)
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := client.Enqueue(ctx, tasks.Job{
		Kind: tasks.Aadhaar, VerificationID: "customer-4711", Input: tasks.Input{Image: &img},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Queue, receipt.Status)
	// Output: aadhaar-live enqueued
}

// An app enqueues a passport job and waits for its result.
func ExampleStore_Wait() {
	ctx := context.Background()
	store, client, stop := exampleStack(ctx)
	defer stop()

	receipt, err := client.Enqueue(ctx, tasks.Job{
		Kind: tasks.Passport, VerificationID: "customer-4711",
		Input: tasks.Input{Passport: &tasks.PassportInput{
			FileNumber: tasks.NewPersonal("PA1079341954215"),
			DOB:        tasks.NewPersonal("2007-03-01"),
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	go exampleWorker(ctx, store, receipt.Kind, receipt.VerificationID)

	result, err := store.Wait(ctx, receipt.Kind, receipt.VerificationID)
	if err != nil {
		log.Fatal(err)
	}
	switch result.State {
	case storage.StateValid:
		fmt.Println("file number", result.Passport.FileNumber, "matches:", result.Passport.Matches.FileNumber)
	default: // invalid, failed or cancelled
		fmt.Println(result.State, result.Code, result.NextAction)
	}
	// Output: file number ***********4215 matches: yes
}

// exampleStack stands in for S3 and Redis. In production the buckets exist already (`kycq storage init`), and the keyset
// is read from a file with tasks.ParseKeyset.
func exampleStack(ctx context.Context) (*storage.Store, *tasks.Client, func()) {
	server := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	store, err := storage.Open(ctx, storage.Config{
		Endpoint: server.URL, AccessKeyID: "specimen", SecretAccessKey: storage.NewSecret("specimen"),
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Buckets().Init(ctx); err != nil {
		log.Fatal(err)
	}
	queue, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: queue.Addr()})
	keyset, err := seal.Generate()
	if err != nil {
		log.Fatal(err)
	}
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Ledger: store, Keyset: keyset})
	if err != nil {
		log.Fatal(err)
	}
	return store, client, func() {
		_ = rdb.Close()
		queue.Close()
		server.Close()
	}
}

// exampleWorker writes a result as a worker does.
func exampleWorker(ctx context.Context, store *storage.Store, kind tasks.Kind, id string) {
	r, v, err := store.Record(ctx, kind, id)
	if err != nil {
		log.Fatal(err)
	}
	r.State = storage.StateValid
	r.Passport = &storage.PassportView{FileNumber: "***********4215", Matches: storage.Matches{FileNumber: storage.MatchYes}}
	if _, err := store.SwapRecord(ctx, r, v); err != nil {
		log.Fatal(err)
	}
}

func specimenCard() *bytes.Reader {
	var card bytes.Buffer
	if err := png.Encode(&card, image.NewGray(image.Rect(0, 0, 600, 400))); err != nil {
		log.Fatal(err)
	}
	return bytes.NewReader(card.Bytes())
}
