package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync"
)

// hashingReader hashes the image while it streams into the request, because the producer may not have read it. The HTTP
// transport may still be reading when the reply is there.
type hashingReader struct {
	r io.Reader

	mu   sync.Mutex // guards hash and done
	hash hash.Hash
	done bool
}

func newHashingReader(r io.Reader) *hashingReader { return &hashingReader{r: r, hash: sha256.New()} }

func (h *hashingReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = h.hash.Write(p[:n])
	h.done = h.done || err == io.EOF
	return n, err
}

// sum returns the hash in hex, or fallback if the stream was not read to its end.
func (h *hashingReader) sum(fallback string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.done {
		return fallback
	}
	return hex.EncodeToString(h.hash.Sum(nil))
}
