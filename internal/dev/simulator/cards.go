package simulator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"runtime"

	"golang.org/x/sync/semaphore"
)

const (
	// maxImage is the vendor's 10 MB.
	maxImage = 10 << 20
	// maxUpload includes the multipart framing of the largest image.
	maxUpload = maxImage + 64<<10
	// uploadInMemory is the part of an upload that is held in memory; the rest is on disk.
	uploadInMemory = 256 << 10
	// maxPixels limits one image and all images being decoded: 160 MB as RGBA.
	maxPixels = 40_000_000
)

// cards reads and masks Aadhaar cards.
type cards struct {
	mask   Masker
	images *images
	pixels *semaphore.Weighted
	// least is the minimum share of an image, so at most one image per processor is decoded at once.
	least int64
}

// newCards sets the pixel budget for all images being decoded. It must be at least maxPixels.
func newCards(mask Masker, store *images, budget int64) *cards {
	return &cards{
		mask: mask, images: store,
		pixels: semaphore.NewWeighted(budget),
		least:  budget / int64(runtime.GOMAXPROCS(0)),
	}
}

// read checks the size, from Content-Length if possible, and the fields of a masking call.
func (c *cards) read(w http.ResponseWriter, r *http.Request) (request, *vendorError, error) {
	if r.ContentLength > maxUpload {
		return request{}, errTooLarge, nil
	}
	body := &errorRecorder{from: http.MaxBytesReader(w, r.Body, maxUpload)}
	r.Body = body
	err := r.ParseMultipartForm(uploadInMemory)
	if err == nil {
		// Read beyond the last boundary: only then does net/http detect a client that disconnects.
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(body.err, &tooLarge) {
			return request{}, errTooLarge, nil
		}
		if body.err != nil {
			return request{}, nil, errors.Join(errBroken, body.err)
		}
		// Complete, but not a multipart form: all fields are missing.
		return request{}, errIDMissing, nil
	}
	req := request{id: r.PostFormValue("verification_id")}
	if refusal := checkID(req.id); refusal != nil {
		return req, refusal, nil
	}
	var upload *multipart.FileHeader
	if files := r.MultipartForm.File["image"]; len(files) > 0 {
		upload = files[0]
	}
	switch {
	case upload == nil || upload.Size == 0:
		return req, errImageMissing, nil
	case upload.Size > maxImage:
		return req, errTooLarge, nil
	}
	format, err := sniff(upload)
	if err != nil {
		return req, nil, err
	}
	if format == "" {
		return req, errImageType, nil
	}
	req.decide = func(r *http.Request) (decision, error) { return c.decide(r.Context(), upload, format) }
	return req, nil, nil
}

// errorRecorder keeps the error of the body, which mime/multipart does not wrap.
type errorRecorder struct {
	from io.ReadCloser
	err  error
}

func (b *errorRecorder) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func (b *errorRecorder) Close() error { return b.from.Close() }

// sniff detects JPEG ("jpeg") and PNG ("png") by content; otherwise it returns "".
func sniff(upload *multipart.FileHeader) (string, error) {
	f, err := upload.Open()
	if err != nil {
		return "", fmt.Errorf("open upload: %w", err)
	}
	defer f.Close()
	head := make([]byte, 8)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("read upload: %w", err)
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "jpeg", nil
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return "png", nil
	}
	return "", nil
}

// decide masks the card, or reuses the masked image of an equal upload.
func (c *cards) decide(ctx context.Context, upload *multipart.FileHeader, format string) (decision, error) {
	f, err := upload.Open()
	if err != nil {
		return decision{}, fmt.Errorf("open upload: %w", err)
	}
	defer f.Close()
	name, err := c.images.name(f, format)
	if err != nil {
		return decision{}, err
	}
	if !c.images.keep(name) {
		found, err := c.maskInto(ctx, name, f, format)
		if err != nil {
			return decision{}, err
		}
		if !found {
			return maskDecision("INVALID_DOCUMENT", nil), nil
		}
	}
	return maskDecision("VALID", &maskedCard{c.images, name, upload}), nil
}

// maskInto stores the masked image in the format of the upload. It returns false if the image is not a card.
func (c *cards) maskInto(ctx context.Context, name string, f multipart.File, format string) (bool, error) {
	header, _, err := image.DecodeConfig(bufio.NewReader(io.NewSectionReader(f, 0, maxImage)))
	if err != nil || header.Width <= 0 || header.Height <= 0 || header.Width > maxPixels/header.Height {
		return false, nil
	}
	cost := max(c.least, int64(header.Width)*int64(header.Height))
	// It does not depend on the client: the vendor processes and charges a received call.
	if err := c.pixels.Acquire(context.WithoutCancel(ctx), cost); err != nil {
		return false, fmt.Errorf("wait to decode: %w", err)
	}
	defer c.pixels.Release(cost)
	if c.images.keep(name) { // the same upload was masked while this one waited
		return true, nil
	}
	card, _, err := image.Decode(bufio.NewReader(io.NewSectionReader(f, 0, maxImage)))
	if err != nil {
		return false, nil
	}
	masked, found := c.mask(card)
	if !found {
		return false, nil
	}
	var out bytes.Buffer
	if format == "png" {
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, masked)
	} else {
		err = jpeg.Encode(&out, masked, &jpeg.Options{Quality: 90})
	}
	if err != nil {
		return false, fmt.Errorf("encode masked image: %w", err)
	}
	return true, c.images.put(name, &out)
}
