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
	// hashCost takes about 250 ms per hash.
	hashCost = 12
	// minCost is above the default of htpasswd -B (5). A hash of maxCost takes about 2 s.
	minCost, maxCost = 10, 15
	// bcrypt ignores bytes after the 72nd.
	minPassword, maxPassword = 8, 72
	minToken                 = 16
)

// Password checks are rate limited, for each name and address against guessing, and in all because a check is expensive.
// Credentials that were accepted are cached and not limited.
const (
	triesPerSecond, triesBurst       = 0.5, 10
	allTriesPerSecond, allTriesBurst = 4, 20
	maxLimiters                      = 10_000
)

var userName = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)

// Login checks credentials. It is safe for concurrent use.
type Login struct {
	users map[string][]byte // bcrypt hashes by name
	token []byte            // SHA-256; nil if there is no token
	dummy []byte            // the most expensive hash, compared for unknown names

	now      func() time.Time
	allTries *rate.Limiter
	mu       sync.Mutex
	tries    map[string]*rate.Limiter       // by name and address
	sessions map[[sha256.Size]byte]*session // by the digest of the secret
	salt     []byte
	accepted sync.Map // set of the digests of credentials that were accepted; at most one per user, and the token
}

// NewLogin reads users, one NAME:HASH per line as `kycq dashboard hash` prints them (or htpasswd -nB -C 12), and a bearer
// token. One of the two may be empty. Errors never quote a hash.
func NewLogin(users, token redact.Secret) (*Login, error) { return newLogin(users, token, minCost) }

// newLogin allows tests to use cheap hashes: with the race detector bcrypt takes seconds.
func newLogin(users, token redact.Secret, least int) (*Login, error) {
	l := &Login{
		users: map[string][]byte{}, now: time.Now, allTries: rate.NewLimiter(allTriesPerSecond, allTriesBurst), tries: map[string]*rate.Limiter{},
		sessions: map[[sha256.Size]byte]*session{},
		salt:     make([]byte, sha256.Size),
	}
	_, _ = rand.Read(l.salt) // never fails
	if err := l.readUsers(users.Reveal(), least); err != nil {
		return nil, err
	}
	if t := token.Reveal(); t != "" {
		if len(t) < minToken {
			return nil, fmt.Errorf("dashboard token: shorter than %d characters: create one with openssl rand -hex 32", minToken)
		}
		sum := sha256.Sum256([]byte(t))
		l.token = sum[:]
	}
	if len(l.users) == 0 && l.token == nil {
		return nil, errors.New("dashboard login: no users and no token")
	}
	return l, nil
}

func (l *Login) readUsers(text string, least int) error {
	highest := 0
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, _ := strings.Cut(line, ":")
		c, err := bcrypt.Cost([]byte(hash))
		switch {
		case !userName.MatchString(name):
			return fmt.Errorf("dashboard users: line %d: the name before the colon must be 1 to 64 of A-Z a-z 0-9 . _ @ -", n)
		case err != nil:
			return fmt.Errorf("dashboard users: line %d: no bcrypt hash after the colon: create one with kycq dashboard hash", n)
		case c < least || c > maxCost:
			return fmt.Errorf("dashboard users: line %d: the hash has cost %d, want %d to %d: create one with kycq dashboard hash", n, c, least, maxCost)
		case l.users[name] != nil:
			return fmt.Errorf("dashboard users: line %d: duplicate name", n)
		}
		l.users[name] = []byte(hash)
		if c > highest {
			highest, l.dummy = c, l.users[name]
		}
	}
	return lines.Err()
}

// HashUser returns a line for NewLogin.
func HashUser(name, password string) (string, error) { return hashUser(name, password, hashCost) }

func hashUser(name, password string, cost int) (string, error) {
	switch {
	case !userName.MatchString(name):
		return "", errors.New("the name must be 1 to 64 of A-Z a-z 0-9 . _ @ -")
	case len(password) < minPassword || len(password) > maxPassword:
		return "", fmt.Errorf("the password must have %d to %d bytes", minPassword, maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return name + ":" + string(hash), nil
}

// mayTry reports whether the password of a name may be checked for a client. If there are too many names and addresses, all
// start anew; then the limit of all tries still holds.
func (l *Login) mayTry(name, host string) bool {
	key := name + "\x00" + host
	l.mu.Lock()
	if len(l.tries) >= maxLimiters {
		clear(l.tries)
	}
	own := l.tries[key]
	if own == nil {
		own = rate.NewLimiter(triesPerSecond, triesBurst)
		l.tries[key] = own
	}
	l.mu.Unlock()
	now := l.now()
	return own.AllowN(now, 1) && l.allTries.AllowN(now, 1)
}

type loginResult int

const (
	missing loginResult = iota // no credentials
	rejected
	limited // not checked: too many attempts
	accepted
	loggedIn // accepted for the first time since the start
)

// tokenUser is the logged user name of requests with the token.
const tokenUser = "token"

// check checks the credentials, or the session, of a request from an address.
func (l *Login) check(r *http.Request, host string) (user string, result loginResult) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		sum := sha256.Sum256([]byte(token))
		switch {
		case l.token != nil && subtle.ConstantTimeCompare(sum[:], l.token) == 1:
			return tokenUser, l.note(l.digest(token))
		case !l.mayTry(tokenUser, host):
			return tokenUser, limited
		}
		return tokenUser, rejected
	}
	if name, password, ok := r.BasicAuth(); ok {
		return l.checkPassword(name, password, host)
	}
	if user := l.session(r); user != "" {
		return user, accepted
	}
	return "", missing
}

// checkPassword returns the name, if it has the form of one.
func (l *Login) checkPassword(name, password, host string) (user string, result loginResult) {
	key := l.digest(name + "\x00" + password)
	if _, ok := l.accepted.Load(key); ok {
		return name, accepted
	}
	if !l.mayTry(name, host) {
		return loggable(name), limited
	}
	hash, known := l.users[name]
	if !known {
		hash = l.dummy // takes as long as a known name, so the response time does not reveal which names exist
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known {
		return loggable(name), rejected
	}
	return name, l.note(key)
}

// note notes credentials that were accepted.
func (l *Login) note(key [sha256.Size]byte) loginResult {
	if _, again := l.accepted.LoadOrStore(key, true); again {
		return accepted
	}
	return loggedIn
}

// digest is salted, so that a copy is useless elsewhere.
func (l *Login) digest(text string) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(l.salt) + text))
}

// loggable returns the name if it has the form of one: people type passwords into the wrong field.
func loggable(name string) string {
	if !userName.MatchString(name) {
		return "[not a name]"
	}
	return name
}
