package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync"
)

// hashingReader learns the image's hash while it streams into the request, so that the masked image can be compared with
// it: the producer may not have read the object. The transport may still be reading when the call has its answer.
type hashingReader struct {
	r io.Reader

	mu   sync.Mutex // guards what follows
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

// sum is the hash of what was read, or otherwise if the stream was not read to its end.
func (h *hashingReader) sum(otherwise string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.done {
		return otherwise
	}
	return hex.EncodeToString(h.hash.Sum(nil))
}
