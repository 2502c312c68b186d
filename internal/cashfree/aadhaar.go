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
	// ProviderID is sent as verification_id: 1 to 50 of [A-Za-z0-9._-], used once for ever per account.
	ProviderID string
	// Image is a JPEG or PNG of exactly Size bytes, at most 10 MB. It is read once and not closed. After a call that was
	// cut short a last Read may still be running; closing the source then is fine, reading it is not.
	Image io.Reader
	Size  int64
	// ContentType is image/jpeg or image/png; Ext is jpg or png, with or without a dot. The file's real name never
	// leaves: names of files are often names of people.
	ContentType string
	Ext         string
}

// MaskAadhaar asks the vendor to block the first eight digits and the QR code: POST /aadhaar-masking, multipart, with
// the fields verification_id and image (vendor OpenAPI). A Valid Reply carries Image, the link to the result.
func (c *Client) MaskAadhaar(ctx context.Context, r MaskRequest) *Reply {
	up, contentType, err := maskBody(r)
	if err != nil {
		return unanswered(NotSent, fmt.Errorf("%s: %w", maskAadhaar.name, err))
	}
	return c.call(ctx, maskAadhaar, r.ProviderID, contentType, up)
}

// maskBody frames the image. verification_id comes first, so that a server which reads as it goes can refuse a used id
// without the image.
func maskBody(r MaskRequest) (*upload, string, error) {
	if r.Image == nil || r.Size <= 0 {
		return nil, "", errors.New("there is no image")
	}
	var frame bytes.Buffer
	w := multipart.NewWriter(&frame)
	if err := w.WriteField("verification_id", r.ProviderID); err != nil {
		return nil, "", fmt.Errorf("frame request: %w", err)
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", multipart.FileContentDisposition("image", "image."+strings.TrimPrefix(r.Ext, ".")))
	header.Set("Content-Type", r.ContentType)
	if _, err := w.CreatePart(header); err != nil {
		return nil, "", fmt.Errorf("frame request: %w", err)
	}
	prelude := frame.Len()
	if err := w.Close(); err != nil {
		return nil, "", fmt.Errorf("frame request: %w", err)
	}
	up := &upload{
		prelude:  frame.Bytes()[:prelude],
		source:   r.Image,
		missing:  r.Size,
		epilogue: frame.Bytes()[prelude:],
	}
	return up, w.FormDataContentType(), nil
}
