package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Scope is a group of operations that a key may use.
type Scope string

// The scopes.
const (
	ScopeSubmit  Scope = "submit"  // submit jobs
	ScopeRead    Scope = "read"    // read jobs, rows of batches and masked images
	ScopeOperate Scope = "operate" // retry, cancel and review jobs
	ScopeReveal  Scope = "reveal"  // decrypt answers
)

// Scopes lists all scopes.
func Scopes() []Scope { return []Scope{ScopeSubmit, ScopeRead, ScopeOperate, ScopeReveal} }

// ParseScopes parses scopes that are separated by commas.
func ParseScopes(text string) ([]Scope, error) {
	var scopes []Scope
	for part := range strings.SplitSeq(text, ",") {
		if !slices.Contains(Scopes(), Scope(part)) {
			return nil, errors.New("want scopes, separated by commas, of: submit, read, operate, reveal")
		}
		scopes = append(scopes, Scope(part))
	}
	return scopes, nil
}

// Key is a line of the file of keys.
type Key struct {
	Name    string
	Scopes  []Scope
	Expires time.Time // zero: never

	hash [sha256.Size]byte // of the token
}

// May reports whether the key has the scope.
func (k Key) May(s Scope) bool { return slices.Contains(k.Scopes, s) }

const tokenPrefix = "kq_"

// NewToken returns a random token.
func NewToken() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)

// KeyLine returns the line of the file of keys for a token, of which it holds only the hash. expires may be zero.
func KeyLine(name string, scopes []Scope, expires time.Time, token string) (string, error) {
	if !nameForm.MatchString(name) {
		return "", errors.New("the name of a key must be 1 to 40 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
	}
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	sum := sha256.Sum256([]byte(token))
	line := fmt.Sprintf("%s %s %s", name, strings.Join(words, ","), hex.EncodeToString(sum[:]))
	if !expires.IsZero() {
		line += " " + expires.UTC().Format(time.RFC3339)
	}
	return line, nil
}

// parseKey parses a line: name scopes hash [expires]. Its errors do not quote the line.
func parseKey(line string) (Key, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 && len(fields) != 4 {
		return Key{}, errors.New("want: name scopes hash [expires]")
	}
	scopes, err := ParseScopes(fields[1])
	if err != nil {
		return Key{}, err
	}
	key := Key{Name: fields[0], Scopes: scopes}
	sum, err := hex.DecodeString(fields[2])
	switch {
	case !nameForm.MatchString(key.Name):
		return Key{}, errors.New("the name has characters other than A-Z a-z 0-9 . _ -, or is longer than 40")
	case err != nil || len(sum) != sha256.Size:
		return Key{}, errors.New("the hash is not the SHA-256 of a token in hex, as `kycq serve key` writes it")
	case len(fields) == 4:
		if key.Expires, err = time.Parse(time.RFC3339, fields[3]); err != nil {
			return Key{}, errors.New("the expiry is not a time of the form 2027-01-31T00:00:00Z")
		}
	}
	key.hash = [sha256.Size]byte(sum)
	return key, nil
}

// parseKeys parses the file of keys. Empty lines and those that begin with # are skipped. A bad line is left out, and
// described in problems.
func parseKeys(text string) (keys []Key, problems []string) {
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			problems = append(problems, fmt.Sprintf("line %d: %v", n, err))
			continue
		}
		keys = append(keys, key)
	}
	return keys, problems
}

const (
	// pollKeys is how often the file of keys is read.
	pollKeys = 2 * time.Second
	// keepKeys is how long the last keys stay in force while the file is missing or cannot be read.
	keepKeys = time.Minute
)

// Keys is the set of keys in force. It is safe for concurrent use.
type Keys struct {
	// Read reads the file of keys; nil if the keys come from a variable and do not change.
	Read func() ([]byte, error)
	Log  zerolog.Logger

	mu        sync.RWMutex
	text      string
	keys      []Key
	unread    time.Time // since when the file cannot be read
	forgotten bool
}

// Set puts the keys of a text in force. It logs bad lines, and how many keys there are.
func (k *Keys) Set(text string) {
	keys, problems := parseKeys(text)
	for _, p := range problems {
		k.Log.Warn().Str("problem", p).Msg("a line of KYCQ_API_KEYS is ignored: correct it")
	}
	k.Log.Info().Int("keys", len(keys)).Msg("API keys read")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.text, k.keys = text, keys
}

// Watch polls the file of keys until ctx ends.
func (k *Keys) Watch(ctx context.Context) {
	if k.Read == nil {
		return
	}
	tick := time.NewTicker(pollKeys)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.poll(time.Now())
		}
	}
}

// poll reads the file once. A file that cannot be read keeps the last keys for keepKeys; an empty one revokes all.
func (k *Keys) poll(now time.Time) {
	text, err := k.Read()
	switch {
	case err == nil:
		changed := string(text) != k.text || k.forgotten
		k.unread, k.forgotten = time.Time{}, false
		if changed {
			k.Set(string(text))
		}
	case k.unread.IsZero():
		k.unread = now
		k.Log.Warn().Err(err).Stringer("kept_for", keepKeys).Msg("the file of API keys cannot be read: the last keys stay in force for a while")
	case now.Sub(k.unread) >= keepKeys && !k.forgotten:
		k.Log.Error().Err(err).Msg("the file of API keys cannot be read: no key is in force until it can")
		k.forgotten = true
		k.mu.Lock()
		k.keys = nil
		k.mu.Unlock()
	}
}

// Find returns the key of a token. The time that it takes does not depend on how much of a hash matches.
func (k *Keys) Find(token string, now time.Time) (Key, bool) {
	sum := sha256.Sum256([]byte(token))
	k.mu.RLock()
	defer k.mu.RUnlock()
	var found Key
	ok := false
	for i := range k.keys {
		if subtle.ConstantTimeCompare(sum[:], k.keys[i].hash[:]) == 1 {
			found, ok = k.keys[i], true
		}
	}
	if !strings.HasPrefix(token, tokenPrefix) || !found.Expires.IsZero() && !now.Before(found.Expires) {
		return Key{}, false
	}
	return found, ok
}
