package webhooks

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Endpoint receives events.
type Endpoint struct {
	Name string `yaml:"name"`
	URL  string `yaml:"url"`
	// SecretFile holds a secret (whsec_...) a line, the newest first. Each message is signed with all. A relative path is
	// relative to the folder of the file of endpoints.
	SecretFile string `yaml:"secret_file"`
	// Events and Kinds select what it receives; empty: all.
	Events []string `yaml:"events"`
	Kinds  []string `yaml:"kinds"`
	// AllowPrivate permits private addresses and plain HTTP.
	AllowPrivate bool `yaml:"allow_private"`

	secrets [][]byte
}

const (
	secretPrefix = "whsec_"
	// Lengths of a secret in bytes: as it is made, and the limits of the specification.
	secretBytes, minSecret, maxSecret = 32, 24, 64
)

// NewSecret makes a secret.
func NewSecret() string {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)

// Parse parses the file of endpoints and reads the files of their secrets. dir is the file's folder. Errors quote neither
// addresses nor secrets.
func Parse(text []byte, dir string) ([]Endpoint, error) {
	var list []Endpoint
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&list); err != nil && len(bytes.TrimSpace(text)) > 0 {
		return nil, errors.New("webhook endpoints: want a YAML list of name, url, secret_file, events, kinds and allow_private")
	}
	for i := range list {
		e := &list[i]
		err := e.validate()
		if err == nil {
			err = e.readSecrets(dir)
		}
		if err == nil && slices.ContainsFunc(list[:i], func(other Endpoint) bool { return other.Name == e.Name }) {
			err = errors.New("the name is used twice")
		}
		if err != nil {
			return nil, fmt.Errorf("webhook endpoint %d: %w", i+1, err)
		}
	}
	return list, nil
}

func (e *Endpoint) validate() error {
	u, err := url.Parse(e.URL)
	switch {
	case !nameForm.MatchString(e.Name):
		return errors.New("name: want 1 to 40 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("url: want https://host/path, without a user")
	case u.Scheme == "http" && !e.AllowPrivate:
		return errors.New("url: want https, or add allow_private: true for a receiver in your own network")
	case e.SecretFile == "":
		return errors.New("secret_file: name a file with the output of `kycq webhooks secret`")
	}
	for _, name := range e.Events {
		if !slices.Contains(storage.Events(), name) {
			return fmt.Errorf("events: want some of %s", strings.Join(storage.Events(), ", "))
		}
	}
	for _, kind := range e.Kinds {
		if _, err := tasks.ParseKind(kind); err != nil {
			return fmt.Errorf("kinds: %w", err)
		}
	}
	return nil
}

func (e *Endpoint) readSecrets(dir string) error {
	path := e.SecretFile
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("secret_file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		encoded, prefixed := strings.CutPrefix(line, secretPrefix)
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if !prefixed || err != nil || len(secret) < minSecret || len(secret) > maxSecret {
			return errors.New("secret_file: want a secret a line, as `kycq webhooks secret` prints it")
		}
		e.secrets = append(e.secrets, secret)
	}
	if len(e.secrets) == 0 {
		return errors.New("secret_file: the file is empty")
	}
	return nil
}

// Subscriber is what the other processes know of the endpoint.
func (e *Endpoint) subscriber() storage.Subscriber {
	return storage.Subscriber{Name: e.Name, Events: e.Events, Kinds: e.Kinds}
}

// messageID is the webhook-id of what an object owes.
func messageID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// sign sets the headers of a message: one signature for each secret.
func (e *Endpoint) sign(h http.Header, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(e.secrets))
	for i, secret := range e.secrets {
		mac := hmac.New(sha256.New, secret)
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", strings.Join(signatures, " "))
}
