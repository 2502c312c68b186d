package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strings"
	"sync"
)

// errImageChanged ends a request whose image is not the one that was accepted.
var errImageChanged = errors.New("the image is not the one that was accepted")

// codeImageChanged is its code.
const codeImageChanged = "image_changed"

// hashingReader hashes the image while it streams into the request, because the producer may not have read it. If it has,
// the last bytes are passed on only if the hash is the accepted one. The HTTP transport may still be reading when the reply
// is there.
type hashingReader struct {
	r    io.Reader
	left int64
	want string // SHA-256 in hex, or empty

	mu   sync.Mutex // guards hash and done
	hash hash.Hash
	done bool
}

func newHashingReader(r io.Reader, size int64, want string) *hashingReader {
	return &hashingReader{r: r, left: size, want: want, hash: sha256.New()}
}

func (h *hashingReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = h.hash.Write(p[:n])
	h.left -= int64(n)
	h.done = h.done || err == io.EOF || h.left == 0
	if h.done && h.want != "" && !strings.EqualFold(h.hex(), h.want) {
		return 0, errImageChanged
	}
	return n, err
}

func (h *hashingReader) hex() string { return hex.EncodeToString(h.hash.Sum(nil)) }

// sum returns the hash in hex, or fallback if the stream was not read to its end.
func (h *hashingReader) sum(fallback string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.done {
		return fallback
	}
	return h.hex()
}
