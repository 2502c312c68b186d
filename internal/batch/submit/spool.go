package submit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"io"
	"os"
)

// spool is a temporary file that is encrypted under a key in memory. It is not authenticated: a Source compares the hash of what it
// reads.
type spool struct {
	cipher.StreamReader
	file  *os.File
	block cipher.Block
}

func newSpool(src io.Reader) (s *spool, size int64, err error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	s = &spool{}
	if s.block, err = aes.NewCipher(key); err != nil {
		return nil, 0, err
	}
	if s.file, err = os.CreateTemp("", "kycq-stdin-*"); err != nil { // mode 0600
		return nil, 0, err
	}
	_ = os.Remove(s.file.Name()) // the open file stays usable on Unix; elsewhere Close removes it
	if size, err = io.Copy(cipher.StreamWriter{S: s.stream(), W: s.file}, src); err != nil {
		_ = s.Close()
		return nil, 0, err
	}
	return s, size, nil
}

// stream begins at offset 0. A key encrypts one file, so its nonce may be zero.
func (s *spool) stream() cipher.Stream {
	return cipher.NewCTR(s.block, make([]byte, aes.BlockSize)) //nolint:gosec // see above
}

// Seek seeks to the beginning.
func (s *spool) Seek(int64, int) (int64, error) {
	s.StreamReader = cipher.StreamReader{S: s.stream(), R: s.file}
	return s.file.Seek(0, io.SeekStart)
}

// Close deletes the file.
func (s *spool) Close() error {
	err := s.file.Close()
	_ = os.Remove(s.file.Name())
	return err
}
