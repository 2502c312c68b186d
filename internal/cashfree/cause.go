package cashfree

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// transportError is a transport error with a fixed text. The texts of net/http can contain data of the peer ("malformed HTTP
// response ..."), the address or the URL, and error texts are stored in logs and Redis.
type transportError struct {
	text string
	err  error // nil, or an error whose text is harmless
}

func (e *transportError) Error() string { return e.text }

func (e *transportError) Unwrap() error { return e.err }

// cause converts err to a transportError. errors.Is still finds context errors, system call errors and
// io.ErrUnexpectedEOF.
func cause(err error) error {
	text, keep := describe(err)
	var op *net.OpError
	if errors.As(err, &op) && op.Op != "" {
		text = op.Op + ": " + text
	}
	return &transportError{text: text, err: keep}
}

func describe(err error) (text string, keep error) {
	var (
		refused refusal
		errno   syscall.Errno
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &refused):
		return refused.Error(), refused
	case errors.Is(err, errStuck):
		return errStuck.Error(), context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return "cancelled", context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out", context.DeadlineExceeded
	case errors.As(err, &dns):
		return describeDNS(dns), nil
	case errors.As(err, &errno):
		return errno.Error(), errno
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timed out", context.DeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed", io.ErrUnexpectedEOF
	}
	return describeTLS(err), nil
}

func describeDNS(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "host name not found"
	case err.IsTimeout:
		return "name lookup timed out"
	}
	return "name lookup failed"
}

func describeTLS(err error) string {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		name      x509.HostnameError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	switch {
	case errors.As(err, &authority):
		return "tls: certificate signed by unknown authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "tls: certificate has expired or is not yet valid"
	case errors.As(err, &name):
		return "tls: certificate is for another host"
	case errors.As(err, &invalid):
		return "tls: certificate is not valid"
	case errors.As(err, &record):
		return "tls: server does not support TLS"
	case errors.As(err, &alert):
		return "tls: server refused the handshake"
	}
	return "connection failed or answer malformed"
}
