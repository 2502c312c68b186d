package storage_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"log"
	"net/http/httptest"
	"os"

	"github.com/alicebob/miniredis/v2"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// An app hands a card in: the image first, then the job that refers to it. In production the store and Redis are the real
// ones, the buckets stand already (`kycq storage init`), and the keyset is read from a file with tasks.ParseKeyset.
func ExampleStore_UploadImage() {
	ctx := context.Background()
	server := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	defer server.Close()
	store, err := storage.Open(ctx, storage.Config{
		Endpoint: server.URL, AccessKeyID: "specimen", SecretAccessKey: storage.NewSecret("specimen"),
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Init(ctx); err != nil {
		log.Fatal(err)
	}
	queue := miniredis.NewMiniRedis()
	if err := queue.Start(); err != nil {
		log.Fatal(err)
	}
	defer queue.Close()
	rdb := redis.NewClient(&redis.Options{Addr: queue.Addr()})
	defer func() { _ = rdb.Close() }()
	keyset, err := seal.Generate()
	if err != nil {
		log.Fatal(err)
	}
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Ledger: store, Keyset: keyset})
	if err != nil {
		log.Fatal(err)
	}

	card, err := specimenCard()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = card.Close() }()
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
	rec, _, err := store.Record(ctx, receipt.Kind, receipt.VerificationID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Queue, receipt.Status)
	fmt.Println("final:", rec.State.Final())
	// Output:
	// aadhaar-live enqueued
	// final: false
}

// specimenCard stands for the file that a customer handed in.
func specimenCard() (*os.File, error) {
	f, err := os.CreateTemp("", "kycq-specimen-*.png")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // it lives as long as it is open
	return f, png.Encode(f, image.NewGray(image.Rect(0, 0, 600, 400)))
}
