package simulator

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// imagePath is the path prefix of image links.
const imagePath = "/_images/"

// maxStored limits the masked images on disk. Beyond it, those that expire first are removed and their links answer 404.
const maxStored = 512 << 20

// images keeps masked images in a temporary folder and serves them under signed links that expire, like presigned links of
// S3. An upload that is repeated, as in load runs, is masked and stored once.
type images struct {
	dir  string
	key  []byte
	life atomic.Int64 // nanoseconds

	mu     sync.Mutex
	stored map[string]*storedImage
	bytes  int64
}

type storedImage struct {
	bytes   int64
	expires time.Time
}

func newImages(ttl time.Duration) (*images, error) {
	dir, err := os.MkdirTemp("", "kycq-simulator-images-*")
	if err != nil {
		return nil, fmt.Errorf("image folder: %w", err)
	}
	i := &images{dir: dir, key: random(32), stored: make(map[string]*storedImage)}
	i.life.Store(int64(ttl))
	return i, nil
}

func (i *images) ttl() time.Duration { return time.Duration(i.life.Load()) }

func (i *images) close() error { return os.RemoveAll(i.dir) }

// name is a keyed hash of an upload's content, with the extension of its format.
func (i *images) name(content io.Reader, format string) (string, error) {
	h := hmac.New(sha256.New, i.key)
	if _, err := io.Copy(h, content); err != nil {
		return "", fmt.Errorf("hash upload: %w", err)
	}
	ext := ".jpg"
	if format == "png" {
		ext = ".png"
	}
	return hex.EncodeToString(h.Sum(nil)[:16]) + ext, nil
}

// keep reports whether the image exists, and extends its life.
func (i *images) keep(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, ok := i.stored[name]
	if ok {
		s.expires = time.Now().Add(i.ttl())
	}
	return ok
}

// put stores an image. A second put of a name has the same content.
func (i *images) put(name string, content io.Reader) error {
	f, err := os.CreateTemp(i.dir, "new-*")
	if err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	n, err := io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("store image: %w", err), os.Remove(f.Name()))
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := os.Rename(f.Name(), filepath.Join(i.dir, name)); err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	if before, ok := i.stored[name]; ok {
		i.bytes -= before.bytes
	}
	i.stored[name] = &storedImage{n, time.Now().Add(i.ttl())}
	i.bytes += n
	i.sweep()
	return nil
}

// sweep removes expired images, then those beyond maxStored. Its cost is small compared to masking.
func (i *images) sweep() {
	now := time.Now()
	for name, s := range i.stored {
		if now.After(s.expires) {
			i.drop(name, s)
		}
	}
	for i.bytes > maxStored && len(i.stored) > 1 {
		var first string
		for name, s := range i.stored {
			if first == "" || s.expires.Before(i.stored[first].expires) {
				first = name
			}
		}
		i.drop(first, i.stored[first])
	}
}

func (i *images) drop(name string, s *storedImage) {
	delete(i.stored, name)
	i.bytes -= s.bytes
	_ = os.Remove(filepath.Join(i.dir, name))
}

// link returns a new bearer link that expires after ttl.
func (i *images) link(base, name string, ttl time.Duration) string {
	path := imagePath + hex.EncodeToString(random(16)) + "/" + name
	expires := strconv.FormatInt(time.Now().Add(ttl).UnixMilli(), 10)
	query := url.Values{"expires": {expires}, "signature": {i.sign(path, expires)}}
	return base + path + "?" + query.Encode()
}

func (i *images) sign(path, expires string) string {
	h := hmac.New(sha256.New, i.key)
	_, _ = fmt.Fprintf(h, "%s?%s", path, expires)
	return hex.EncodeToString(h.Sum(nil))
}

// ServeHTTP answers like S3: 403 for an expired or forged link, 404 for a removed image.
func (i *images) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, errNoMethod)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/verification")
	expires := r.URL.Query().Get("expires")
	if !hmac.Equal([]byte(i.sign(path, expires)), []byte(r.URL.Query().Get("signature"))) {
		refuseLink(w, http.StatusForbidden, "SignatureDoesNotMatch", "The signature does not match.")
		return
	}
	end, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || !time.Now().Before(time.UnixMilli(end)) {
		refuseLink(w, http.StatusForbidden, "AccessDenied", "Request has expired")
		return
	}
	name := filepath.Base(path)
	f, err := os.Open(filepath.Join(i.dir, name))
	if err != nil {
		refuseLink(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	defer f.Close()
	w.Header().Set("Cache-Control", "private, no-store")
	http.ServeContent(w, r, name, time.Time{}, f) // the type follows from the extension
}

func refuseLink(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>\n", code, message)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
