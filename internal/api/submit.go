package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kycq/kycq/internal/single"
	"github.com/kycq/kycq/tasks"
)

// PassportRequest is the body of POST /v1/passport.
type PassportRequest struct {
	VerificationID string `json:"verification_id,omitempty" pattern:"^[A-Za-z0-9._-]{1,50}$" example:"P-0001" doc:"idempotency key, never to be reused for another input; derived from file_number and dob if it is missing"`
	FileNumber     string `json:"file_number" pattern:"^[A-Za-z0-9]{1,20}$" example:"X00001234567"`
	DOB            string `json:"dob" format:"date" example:"1990-02-17"`
	Name           string `json:"name,omitempty" maxLength:"200" example:"Specimen Person"`
	Lane           string `json:"lane,omitempty" enum:"live,bulk" default:"live" doc:"live jobs are called before all bulk jobs"`
}

// AadhaarForm is the body of POST /v1/aadhaar as a form.
type AadhaarForm struct {
	VerificationID string `json:"verification_id,omitempty" pattern:"^[A-Za-z0-9._-]{1,50}$" doc:"idempotency key; derived from the image if it is missing"`
	Lane           string `json:"lane,omitempty" enum:"live,bulk" default:"live"`
	Image          string `json:"image" format:"binary" doc:"JPEG or PNG, at most 10 MB and 40 megapixels"`
}

// AadhaarObject is the body of POST /v1/aadhaar for an image that is in S3 already.
type AadhaarObject struct {
	VerificationID string `json:"verification_id" pattern:"^[A-Za-z0-9._-]{1,50}$" doc:"idempotency key"`
	Lane           string `json:"lane,omitempty" enum:"live,bulk" default:"live"`
	Image          string `json:"image" pattern:"^s3://" example:"s3://my-bucket/cards/124.png" doc:"an object in a place that KYCQ_IMAGE_BUCKETS lists; a worker reads it, and kycq never deletes it"`
}

// JobAnswer is the answer with a job.
type JobAnswer struct {
	Status   int
	Location string `header:"Location" doc:"path of the job, in a 202"`
	Body     Job
}

const (
	fieldID   = "verification_id"
	fieldLane = "lane"
)

func (a *API) registerSubmissions() {
	codes := []string{
		"body_too_large", "media_type", "different_input", "too_slow", "too_many_pending", "redis_full", "redis_unreachable",
	}
	schemas := a.huma.OpenAPI().Components.Schemas
	register(a, operation{
		name: "submitPassport", method: http.MethodPost, path: "/v1/passport", tag: "jobs", scope: ScopeSubmit, accepted: true, codes: codes,
		summary:     "Verify a passport",
		description: "202: the job is new and durable. 200: a job with this id and input exists, finished or not.",
		body: huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			jsonType: {Schema: huma.SchemaFromType(schemas, typeOf[PassportRequest]())},
		}},
	}, func(ctx context.Context, c *call, _ *struct{}) (*JobAnswer, error) { return a.submitPassport(ctx, c) })
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	register(a, operation{
		name: "submitAadhaar", method: http.MethodPost, path: "/v1/aadhaar", tag: "jobs", scope: ScopeSubmit, accepted: true, codes: append(codes, "busy"),
		summary: "Mask an Aadhaar card",
		description: "The image is sent as a form, as the body itself with the other fields in the query, or named by JSON if it is in S3 already. " +
			"202: the job is new and durable. 200: a job with this id and image exists, finished or not.",
		body: huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			formType:     {Schema: huma.SchemaFromType(schemas, typeOf[AadhaarForm]())},
			"image/jpeg": {Schema: binary},
			"image/png":  {Schema: binary},
			jsonType:     {Schema: huma.SchemaFromType(schemas, typeOf[AadhaarObject]())},
		}},
	}, a.submitAadhaar)
}

func (a *API) submitPassport(ctx context.Context, c *call) (*JobAnswer, error) {
	in, err := c.object(fieldID, "file_number", "dob", "name", fieldLane)
	if err != nil {
		return nil, err
	}
	number, dob, id := in.text["file_number"], in.text["dob"], in.text[fieldID]
	if id == "" { // as in manifests
		number = strings.ToUpper(number)
		id = a.cfg.Keyset.DeriveID(string(tasks.Passport), "", number, dob)
	}
	job := tasks.Job{Kind: tasks.Passport, VerificationID: id, Lane: laneOf(in.text[fieldLane]), Input: tasks.Input{Passport: &tasks.PassportInput{
		FileNumber: tasks.NewPersonal(number), DOB: tasks.NewPersonal(dob), Name: tasks.NewPersonal(in.text["name"]),
	}}}
	return a.submit(ctx, c, job, nil)
}

func laneOf(text string) tasks.Lane { return tasks.Lane(cmp.Or(text, string(tasks.Live))) }

// uploadTimeout is enough for the slowest body that is read, and for storing it.
const uploadTimeout = 5 * time.Minute

// AadhaarParams are the fields beside an image that is sent as the body itself.
type AadhaarParams struct {
	VerificationID string `query:"verification_id" doc:"if the body is the image itself"`
	Lane           string `query:"lane" doc:"if the body is the image itself: live or bulk"`
}

func (a *API) submitAadhaar(ctx context.Context, c *call, in *AadhaarParams) (*JobAnswer, error) {
	kind, parameters := c.mediaType()
	if kind == jsonType {
		return a.submitObject(ctx, c)
	}
	limit := int64(tasks.MaxImageBytes)
	if kind == formType {
		limit += formRest
	}
	switch { // the size is judged before the type
	case c.r.ContentLength > limit:
		return nil, failure("body_too_large", nil)
	case kind != formType && kind != "image/jpeg" && kind != "image/png":
		return nil, failure("media_type", nil)
	}
	buf, err := a.take(ctx)
	if err != nil {
		return nil, err
	}
	defer a.release(buf)
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(uploadTimeout))
	u := upload{fields: map[string]string{fieldID: in.VerificationID, fieldLane: in.Lane}}
	if kind == formType {
		u.fields = map[string]string{}
		err = u.readForm(c.body(limit), parameters["boundary"], buf)
	} else {
		u.image, err = readImage(c.body(limit), buf)
	}
	if err != nil {
		return nil, err
	}
	return a.submitImage(ctx, c, u)
}

// submitObject accepts a job whose image is in S3. It does not read the image, so the answer does not show whether it exists.
func (a *API) submitObject(ctx context.Context, c *call) (*JobAnswer, error) {
	in, err := c.object(fieldID, fieldLane, "image")
	if err != nil {
		return nil, err
	}
	place, ok := strings.CutPrefix(in.text["image"], "s3://")
	if !ok {
		return nil, invalid(FieldError{Pointer: "/image", Code: "image_place_invalid", Message: "image must be of the form s3://bucket/key"})
	}
	bucket, key, _ := strings.Cut(place, "/")
	return a.submit(ctx, c, tasks.Job{
		Kind: tasks.Aadhaar, VerificationID: in.text[fieldID], Lane: laneOf(in.text[fieldLane]), Input: tasks.Input{Image: &tasks.Image{Bucket: bucket, Key: key}},
	}, nil)
}

// upload is an image with its fields.
type upload struct {
	fields map[string]string
	image  []byte
}

func (a *API) submitImage(ctx context.Context, c *call, u upload) (*JobAnswer, error) {
	var bad *tasks.InvalidError
	_, _, err := tasks.ValidateImageFile(bytes.NewReader(u.image))
	if errors.As(err, &bad) && (bad.Code == "image_is_pdf" || bad.Code == "image_type_invalid") {
		return nil, failure("media_type", nil)
	} else if err != nil {
		return nil, err
	}
	id := u.fields[fieldID]
	if id == "" { // as in manifests
		sum := sha256.Sum256(u.image)
		id = a.cfg.Keyset.DeriveID(string(tasks.Aadhaar), "", "sha256", hex.EncodeToString(sum[:]))
	}
	job := tasks.Job{
		Kind: tasks.Aadhaar, VerificationID: id, Lane: laneOf(u.fields[fieldLane]),
		Input: tasks.Input{Image: &tasks.Image{Bucket: "inbox", Key: "to-be-uploaded"}},
	}
	return a.submit(ctx, c, job, bytes.NewReader(u.image))
}

// submit accepts a job, with its image if it has one.
func (a *API) submit(ctx context.Context, c *call, job tasks.Job, image io.ReadSeeker) (*JobAnswer, error) {
	if err := job.Validate(); err != nil { // before anything is written
		return nil, err
	}
	refund, err := a.pending.take(ctx, c.key.Name, job)
	if err != nil {
		return nil, err
	}
	receipt, remains, err := single.Submit(ctx, a.cfg.Store, a.cfg.Client, job, image)
	if remains != nil {
		a.cfg.Log.Warn().Err(remains).Str("request_id", c.id).Msg("versions of an image that is not needed remain in the inbox")
	}
	if err != nil || receipt.Status == tasks.AlreadyDone {
		refund(context.WithoutCancel(ctx))
	}
	if err != nil {
		return nil, err
	}
	rec, _, err := a.cfg.Store.Record(ctx, job.Kind, job.VerificationID)
	if err != nil {
		return nil, err
	}
	answer := &JobAnswer{Status: http.StatusOK, Body: show(ctx, rec, a.causes())}
	if receipt.Status == tasks.Enqueued && rec.Lane == job.Lane { // else the job waits in the other lane
		answer.Status, answer.Location = http.StatusAccepted, jobPath(job.Kind, job.VerificationID)
	}
	return answer, nil
}
