package simulator

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"image"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/dev/specimen"
)

// The vendor's documented rate, per API and merchant account.
const (
	DefaultLimit = 100
	DefaultPer   = time.Minute
)

// When a verification_id is used up. It is not known which applies; a client must work with both.
const (
	// TakeOnArrival uses up the id of every request that passed validation, whatever its answer.
	TakeOnArrival = "arrival"
	// TakeOnSuccess uses up the id of every request that was answered 200, and so charged.
	TakeOnSuccess = "success"
)

// Masker blocks the QR code and the first eight digits of a card by drawing on the image. It returns false if the image shows
// neither a QR code nor a card; the answer is then INVALID_DOCUMENT.
type Masker func(image.Image) (image.Image, bool)

// Config configures a Simulator. The zero value is an account without limit, with unlimited balance, that accepts any
// credentials. All but the paths can be changed at runtime under /_sim/.
type Config struct {
	// ClientID and ClientSecret are the credentials. If both are empty, any are accepted, but the headers are required.
	ClientID     string
	ClientSecret string
	// PrivateKey decrypts x-cf-signature, which is then required. If it is nil, the header is ignored.
	PrivateKey *rsa.PrivateKey
	// AllowedIPs lists addresses and prefixes ("10.0.0.0/8"). Empty: every address may call.
	AllowedIPs []string
	// Balance is the number of paid calls left. 0 or less: unlimited; use SetBalance(0) for no balance.
	Balance int
	// TakeIDs is TakeOnArrival or TakeOnSuccess. Empty: TakeOnSuccess.
	TakeIDs string

	// Limit is the number of calls per Per, for each endpoint on its own. 0: no limit.
	Limit int
	// Per is the length of the window, 0 is a minute. Without a limit it still is the window of the reported peak.
	Per time.Duration
	// Window is "fixed", "sliding", "bucket" or "none". Empty: "fixed" where there is a limit.
	Window string
	// Burst is the bucket's size in calls. 0: 1, the strictest for uneven pacing.
	Burst int
	// LimitPerIP is the number of calls per Per from one address to both endpoints. 0: no such limit.
	LimitPerIP int

	// Latency passes between a request's arrival and its answer. 0: none.
	Latency time.Duration
	// LedgerPath is the append-only JSONL file. An existing file is read first: its ids stay used. Empty: a temporary file,
	// removed by Close.
	LedgerPath string
	// PublicURL begins every image_link. Empty: "http://" and the Host that the request was sent to.
	PublicURL string
	// LinkTTL is the life of an image_link, 0 is an hour. (The vendor's is not known.)
	LinkTTL time.Duration
	// Masker masks the cards. Nil: specimen.Mask.
	Masker Masker
	// Seed makes random faults repeatable for sequential calls.
	Seed uint64
	// Log gets one line per request. The zero value is silent.
	Log zerolog.Logger
}

func (c Config) withDefaults() Config {
	if c.Balance <= 0 {
		c.Balance = endless
	}
	if c.TakeIDs == "" {
		c.TakeIDs = TakeOnSuccess
	}
	if c.Per == 0 {
		c.Per = DefaultPer
	}
	if c.LinkTTL == 0 {
		c.LinkTTL = time.Hour
	}
	if c.Masker == nil {
		c.Masker = specimen.Mask
	}
	return c
}

func (c Config) validate() error {
	switch {
	case (c.ClientID == "") != (c.ClientSecret == ""):
		return errors.New("client id and client secret: set both or neither")
	case c.LinkTTL < 0:
		return fmt.Errorf("link ttl %v: must not be negative", c.LinkTTL)
	case c.Latency < 0:
		return fmt.Errorf("latency %v: must not be negative", c.Latency)
	}
	return nil
}
