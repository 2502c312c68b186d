package api

import (
	"errors"
	"io"
	"mime/multipart"

	"github.com/kycq/kycq/tasks"
)

const (
	formType = "multipart/form-data"
	maxField = 1 << 10 // bytes of a field of a form that is not the image
)

// readForm reads a form into u. Each field may appear once; nothing is written to a file.
func (u *upload) readForm(body io.Reader, boundary string, buf []byte) error {
	if boundary == "" {
		return failure("media_type", nil)
	}
	form := multipart.NewReader(body, boundary)
	for seen := map[string]bool{}; ; {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return badBody(err)
		}
		name := part.FormName()
		switch {
		case name != "image" && name != fieldID && name != fieldLane:
			return invalid(FieldError{Code: "key_unknown", Message: "the form has an unknown field: use verification_id, lane and image"})
		case seen[name]:
			return invalid(FieldError{Pointer: "/" + name, Code: "key_twice", Message: name + " appears twice in the form"})
		}
		seen[name] = true
		if name == "image" {
			if u.image, err = readImage(part, buf); err != nil {
				return err
			}
			continue
		}
		text, err := io.ReadAll(io.LimitReader(part, maxField+1))
		if err != nil {
			return badBody(err)
		}
		if len(text) > maxField {
			return failure("body_too_large", nil)
		}
		u.fields[name] = string(text)
	}
	if u.image == nil {
		return invalid(FieldError{Pointer: "/image", Code: "image_missing", Message: "image is missing"})
	}
	return nil
}

// readImage reads an image into buf, which has room for one byte more than an image may have.
func readImage(src io.Reader, buf []byte) ([]byte, error) {
	n, err := io.ReadFull(src, buf)
	switch {
	case n > tasks.MaxImageBytes:
		return nil, failure("body_too_large", nil)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && isEnd(src):
		return buf[:n], nil
	}
	return nil, badBody(err)
}

// isEnd reports whether src has ended as it should: io.ReadFull says io.ErrUnexpectedEOF also of a body that is cut off.
func isEnd(src io.Reader) bool {
	_, err := src.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}
