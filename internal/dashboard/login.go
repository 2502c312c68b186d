package dashboard

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"

	"github.com/kycq/kycq/internal/redact"
)

const (
	// hashCost takes about a quarter of a second: nothing for a person, much for a thief of the file.
	hashCost = 12
	// minCost refuses the 5 that htpasswd -B uses by default; maxCost is above what anybody waits for.
	minCost, maxCost = 10, 15
	// maxPassword is bcrypt's own: it would ignore the rest.
	maxPassword = 72
	// minPassword is a floor, not advice.
	minPassword = 8
	// minToken: a bearer token is not typed, so there is no reason for a short one.
	minToken = 16
)

// Passwords are hashed on every login, so tries are rationed: they could keep the processor busy, besides finding one. A
// login that has succeeded is remembered and needs no further try.
const (
	triesPerSecond = 2
	triesAtOnce    = 10
)

var userForm = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)

// Login knows who may come in. It is safe for concurrent use.
type Login struct {
	users  map[string][]byte // bcrypt hashes
	token  []byte            // SHA-256, nil where there is none
	nobody []byte            // a hash that costs as much as theirs, for names that are not known

	tries *rate.Limiter
	salt  []byte

	mu      sync.Mutex
	entered map[[sha256.Size]byte]bool // credentials that were right, salted and hashed
}

// NewLogin reads the users, one NAME:HASH a line as `kycq dashboard hash` prints them (or htpasswd -nB -C 12), and a
// bearer token. Either may be empty, not both. Errors never quote a hash.
func NewLogin(users, token redact.Secret) (*Login, error) { return newLogin(users, token, minCost) }

// newLogin lets tests do with cheaper hashes: with the race detector on, bcrypt takes seconds.
func newLogin(users, token redact.Secret, least int) (*Login, error) {
	l := &Login{
		users: map[string][]byte{}, tries: rate.NewLimiter(triesPerSecond, triesAtOnce),
		salt: make([]byte, sha256.Size), entered: map[[sha256.Size]byte]bool{},
	}
	_, _ = rand.Read(l.salt) // never fails
	if err := l.readUsers(users.Reveal(), least); err != nil {
		return nil, err
	}
	if t := token.Reveal(); t != "" {
		if len(t) < minToken {
			return nil, fmt.Errorf("dashboard token: is shorter than %d characters: make one with openssl rand -hex 32", minToken)
		}
		sum := sha256.Sum256([]byte(t))
		l.token = sum[:]
	}
	if len(l.users) == 0 && l.token == nil {
		return nil, errors.New("dashboard login: neither users nor a token")
	}
	return l, nil
}

func (l *Login) readUsers(text string, least int) error {
	costliest := 0
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		c, err := bcrypt.Cost([]byte(hash))
		switch {
		case !userForm.MatchString(name):
			return fmt.Errorf("dashboard users: line %d: no name of 1 to 64 of A-Z a-z 0-9 . _ @ - before the colon", n)
		case err != nil:
			return fmt.Errorf("dashboard users: line %d: no bcrypt hash after the colon: make one with kycq dashboard hash", n)
		case c < least || c > maxCost:
			return fmt.Errorf("dashboard users: line %d: the hash has cost %d, want %d to %d: make one with kycq dashboard hash", n, c, least, maxCost)
		case l.users[name] != nil:
			return fmt.Errorf("dashboard users: line %d: the name stands in an earlier line too", n)
		}
		l.users[name] = []byte(hash)
		if c > costliest {
			costliest, l.nobody = c, l.users[name]
		}
	}
	return lines.Err()
}

// HashUser makes a line for NewLogin.
func HashUser(name, password string) (string, error) {
	switch {
	case !userForm.MatchString(name):
		return "", errors.New("the name must be 1 to 64 of A-Z a-z 0-9 . _ @ -")
	case len(password) < minPassword || len(password) > maxPassword:
		return "", fmt.Errorf("the password must have %d to %d bytes", minPassword, maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), hashCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return name + ":" + string(hash), nil
}

// entry is what a request's credentials are worth.
type entry int

const (
	missing entry = iota
	wrong
	tooMany // the try was not even looked at
	right
)

// tokenUser is the name under which the bearer of the token is logged.
const tokenUser = "token"

func (l *Login) check(r *http.Request) (user string, e entry) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		sum := sha256.Sum256([]byte(token))
		if l.token != nil && subtle.ConstantTimeCompare(sum[:], l.token) == 1 {
			return tokenUser, right
		}
		return "", wrong
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return "", missing
	}
	key := l.key(name, password)
	if l.remembers(key) {
		return name, right
	}
	if !l.tries.AllowN(time.Now(), 1) {
		return "", tooMany
	}
	hash, known := l.users[name]
	if !known {
		hash = l.nobody // as slow as a known name: the answer's time must not tell names
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known {
		return "", wrong
	}
	l.remember(key)
	return name, right
}

// key is salted, so that what is kept in memory is worth nothing elsewhere.
func (l *Login) key(name, password string) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(l.salt) + name + "\x00" + password))
}

func (l *Login) remembers(key [sha256.Size]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entered[key]
}

// remember keeps at most one entry for each user: only right passwords get here.
func (l *Login) remember(key [sha256.Size]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entered[key] = true
}
