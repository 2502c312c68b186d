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
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op != "" {
		text = op.Op + ": " + text
	}
	return &transportError{text: text, err: keep}
}

func describe(err error) (text string, keep error) {
	if refused, ok := errors.AsType[refusal](err); ok {
		return refused.Error(), refused
	}
	if proxy, ok := errors.AsType[proxyError](err); ok {
		return proxy.Error(), nil
	}
	switch {
	case errors.Is(err, errStuck):
		return errStuck.Error(), context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return "cancelled", context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out", context.DeadlineExceeded
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return describeDNS(dns), nil
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error(), errno
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "timed out", context.DeadlineExceeded
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
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
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case is[x509.UnknownAuthorityError](err):
		return "tls: certificate signed by unknown authority"
	case isInvalid && invalid.Reason == x509.Expired:
		return "tls: certificate has expired or is not yet valid"
	case is[x509.HostnameError](err):
		return "tls: certificate is for another host"
	case isInvalid:
		return "tls: certificate is not valid"
	case is[tls.RecordHeaderError](err):
		return "tls: server does not support TLS"
	case is[tls.AlertError](err):
		return "tls: server refused the handshake"
	}
	return "connection failed or answer malformed"
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
