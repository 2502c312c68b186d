// Command plain is the worker that a good engineer writes in an afternoon: asynq, one HTTP call a job, the results in S3. It
// keeps no record before the call, encrypts nothing, checks no image and shares no rate limit. It is what kycq is measured
// beside; it must not be used.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/hibiken/asynq"
)

// job is the payload of both kinds.
type job struct {
	VerificationID string `json:"verification_id"`
	FileNumber     string `json:"file_number,omitempty"`
	DOB            string `json:"dob,omitempty"`
	Name           string `json:"name,omitempty"`
	Image          string `json:"image,omitempty"` // key in the bucket
}

type worker struct {
	vendor, bucket string
	http           *http.Client
	s3             *s3.Client
}

func main() {
	redis := flag.String("redis", "", "URL of Redis")
	endpoint := flag.String("s3", "", "URL of the S3 server")
	bucket := flag.String("bucket", "", "bucket of images and results")
	vendor := flag.String("vendor", "", "base URL of the vendor")
	concurrency := flag.Int("concurrency", 8, "jobs at the same time")
	nothing := flag.Bool("nothing", false, "do nothing in a job")
	flag.Parse()

	connection, err := asynq.ParseRedisURI(*redis)
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = *concurrency
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	w := &worker{vendor: *vendor, bucket: *bucket, http: client, s3: s3.New(s3.Options{
		BaseEndpoint: endpoint, Region: "us-east-1", UsePathStyle: true, HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	})}
	handle := map[bool]asynq.HandlerFunc{false: w.passport, true: func(context.Context, *asynq.Task) error { return nil }}
	mux := asynq.NewServeMux()
	mux.HandleFunc("passport", handle[*nothing])
	mux.HandleFunc("aadhaar", w.aadhaar)
	server := asynq.NewServer(connection, asynq.Config{Concurrency: *concurrency, LogLevel: asynq.ErrorLevel})
	if err := server.Run(mux); err != nil { // until SIGTERM
		log.Fatal(err)
	}
}

func (w *worker) passport(ctx context.Context, task *asynq.Task) error {
	var j job
	if err := json.Unmarshal(task.Payload(), &j); err != nil {
		return err
	}
	answer, err := w.post(ctx, "/passport", "application/json", task.Payload())
	if err != nil {
		return err
	}
	return w.put(ctx, "results/"+j.VerificationID+".json", answer)
}

func (w *worker) aadhaar(ctx context.Context, task *asynq.Task) error {
	var j job
	if err := json.Unmarshal(task.Payload(), &j); err != nil {
		return err
	}
	object, err := w.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &w.bucket, Key: &j.Image})
	if err != nil {
		return err
	}
	image, err := io.ReadAll(object.Body)
	if err := errors.Join(err, object.Body.Close()); err != nil {
		return err
	}
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	file, err := parts.CreateFormFile("image", "card.jpg")
	if err != nil {
		return err
	}
	if _, err := file.Write(image); err != nil {
		return err
	}
	if err := errors.Join(parts.WriteField("verification_id", j.VerificationID), parts.Close()); err != nil {
		return err
	}
	answer, err := w.post(ctx, "/aadhaar-masking", parts.FormDataContentType(), form.Bytes())
	if err != nil {
		return err
	}
	var result struct {
		ImageLink string `json:"image_link"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, result.ImageLink, nil)
	if err != nil {
		return err
	}
	masked, err := w.send(request)
	if err != nil {
		return err
	}
	if err := w.put(ctx, "masked/"+j.VerificationID+".jpg", masked); err != nil {
		return err
	}
	return w.put(ctx, "results/"+j.VerificationID+".json", answer)
}

func (w *worker) post(ctx context.Context, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.vendor+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("X-Client-Id", "specimen")
	request.Header.Set("X-Client-Secret", "specimen")
	return w.send(request)
}

func (w *worker) send(request *http.Request) ([]byte, error) {
	response, err := w.http.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	return body, nil
}

func (w *worker) put(ctx context.Context, key string, body []byte) error {
	_, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &w.bucket, Key: aws.String(key), Body: bytes.NewReader(body)})
	return err
}
