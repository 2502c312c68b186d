package simulator

import (
	"io"
	"mime/multipart"
	"time"
)

type maskAnswer struct {
	VerificationID string `json:"verification_id"`
	ReferenceID    int64  `json:"reference_id"`
	Status         string `json:"status"`
	ImageLink      string `json:"image_link,omitempty"`
}

// maskedCard is a card whose masked image is stored.
type maskedCard struct {
	images *images
	name   string
	upload *multipart.FileHeader
}

// maskDecision builds the answer; card is nil for an invalid document.
func maskDecision(result string, card *maskedCard) decision {
	return decision{result: result, body: func(id string, reference int64, f Fault, base string) any {
		a := maskAnswer{VerificationID: answeredID(id, f), ReferenceID: reference, Status: result}
		if card != nil {
			a.ImageLink = card.link(f, base)
		}
		return a
	}}
}

func (m *maskedCard) link(f Fault, base string) string {
	switch f.Fault {
	case FaultNoImageLink:
		return ""
	case FaultExpiredLink:
		return m.images.link(base, m.name, -time.Second)
	case FaultUnmasked:
		if name, err := m.storeUpload(); err == nil {
			return m.images.link(base, name, m.images.ttl())
		}
		return ""
	}
	return m.images.link(base, m.name, m.images.ttl())
}

// storeUpload stores the uploaded image, for the fault "unmasked".
func (m *maskedCard) storeUpload() (string, error) {
	f, err := m.upload.Open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	name := "unmasked-" + m.name
	if m.images.keep(name) {
		return name, nil
	}
	return name, m.images.put(name, io.NewSectionReader(f, 0, maxImage))
}
