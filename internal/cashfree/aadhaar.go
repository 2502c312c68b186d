package cashfree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"strings"
)

// MaskRequest is the input of the Aadhaar masking call (vendor page "Aadhaar Masking").
type MaskRequest struct {
	// ProviderID is sent as verification_id: 1 to 50 of [A-Za-z0-9._-], unique per account.
	ProviderID string
	// Image is a JPEG or PNG of exactly Size bytes, at most 10 MB. It is read once and not closed. After an interrupted call
	// a last Read may still be running: the caller may close the source, but must not read it.
	Image io.Reader
	Size  int64
	// ContentType is image/jpeg or image/png; Ext is jpg or png, with or without a dot. The name of the file is not sent:
	// file names are often names of people.
	ContentType string
	Ext         string
}

// MaskAadhaar calls POST /aadhaar-masking (multipart, fields verification_id and image; vendor OpenAPI). The vendor blocks
// the first eight digits and the QR code. A Valid Reply has Image, the link to the masked image.
func (c *Client) MaskAadhaar(ctx context.Context, r MaskRequest) *Reply {
	up, contentType, err := maskBody(r)
	if err != nil {
		return unanswered(NotSent, fmt.Errorf("%s: %w", maskAadhaar.name, err))
	}
	return c.call(ctx, maskAadhaar, r.ProviderID, contentType, up)
}

// maskBody builds the multipart body. verification_id comes first, so the server can refuse a used id before it has read
// the image.
func maskBody(r MaskRequest) (*upload, string, error) {
	if r.Image == nil || r.Size <= 0 {
		return nil, "", errors.New("no image")
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.WriteField("verification_id", r.ProviderID); err != nil {
		return nil, "", fmt.Errorf("build request: %w", err)
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", multipart.FileContentDisposition("image", "image."+strings.TrimPrefix(r.Ext, ".")))
	header.Set("Content-Type", r.ContentType)
	if _, err := w.CreatePart(header); err != nil {
		return nil, "", fmt.Errorf("build request: %w", err)
	}
	prelude := body.Len()
	if err := w.Close(); err != nil {
		return nil, "", fmt.Errorf("build request: %w", err)
	}
	up := &upload{
		prelude:  body.Bytes()[:prelude],
		source:   r.Image,
		missing:  r.Size,
		epilogue: body.Bytes()[prelude:],
	}
	return up, w.FormDataContentType(), nil
}
