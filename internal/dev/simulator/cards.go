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
	// maxUpload leaves room for the multipart frame around an image of the largest size.
	maxUpload = maxImage + 64<<10
	// uploadInMemory is what is kept of an upload before it spills to disk.
	uploadInMemory = 256 << 10
	// maxPixels bounds one image, by its header, and all the images that are decoded at one time: 160 MB as RGBA.
	maxPixels = 40_000_000
)

// cards reads and masks Aadhaar cards.
type cards struct {
	mask   Masker
	images *images
	pixels *semaphore.Weighted
	// least is what the smallest image takes of the pixels, so that no more run at once than there are processors.
	least int64
}

// newCards makes a budget of so many pixels for all the images that are decoded at one time; it must be maxPixels at
// least, or the largest image would wait for ever.
func newCards(mask Masker, store *images, budget int64) *cards {
	return &cards{
		mask: mask, images: store,
		pixels: semaphore.NewWeighted(budget),
		least:  budget / int64(runtime.GOMAXPROCS(0)),
	}
}

// read runs the size check and the fields of a masking call. The size is told from Content-Length before a byte is read.
func (c *cards) read(w http.ResponseWriter, r *http.Request) (request, *vendorError, error) {
	if r.ContentLength > maxUpload {
		return request{}, errTooLarge, nil
	}
	body := &errorRecorder{from: http.MaxBytesReader(w, r.Body, maxUpload)}
	r.Body = body
	err := r.ParseMultipartForm(uploadInMemory)
	if err == nil {
		// What follows the last boundary must be read too: only then does net/http notice a client that goes.
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(body.err, &tooLarge) {
			return request{}, errTooLarge, nil
		}
		if body.err != nil {
			return request{}, nil, errors.Join(errBroken, body.err)
		}
		// Whole, but no multipart form: no field of it can be found.
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

// errorRecorder remembers why a body ended early, which mime/multipart wraps beyond recognition.
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

// sniff tells JPEG ("jpeg") and PNG ("png") by content; anything else, a PDF for one, is "".
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

// decide masks the card, or finds the masked image of the same upload from before.
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

// maskInto stores the masked image in the format of the upload. False: this is no card.
func (c *cards) maskInto(ctx context.Context, name string, f multipart.File, format string) (bool, error) {
	header, _, err := image.DecodeConfig(bufio.NewReader(io.NewSectionReader(f, 0, maxImage)))
	if err != nil || header.Width <= 0 || header.Height <= 0 || header.Width > maxPixels/header.Height {
		return false, nil
	}
	cost := max(c.least, int64(header.Width)*int64(header.Height))
	// A client that goes does not free the vendor of its work: the call was received, and will be charged.
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
