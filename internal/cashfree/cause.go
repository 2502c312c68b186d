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

// fault is a transport error in fixed words. net/http's own texts can repeat what the peer sent ("malformed HTTP
// response ..."), the address or the whole URL, and error texts end up in logs, Redis and the dashboard.
type fault struct {
	words string
	err   error // nil, or an error whose text is harmless too
}

func (f *fault) Error() string { return f.words }

func (f *fault) Unwrap() error { return f.err }

// cause turns err into a fault. It keeps what callers may ask for with errors.Is: context errors, system call errors,
// io.ErrUnexpectedEOF.
func cause(err error) error {
	words, keep := describe(err)
	var op *net.OpError
	if errors.As(err, &op) && op.Op != "" {
		words = op.Op + ": " + words
	}
	return &fault{words: words, err: keep}
}

func describe(err error) (words string, keep error) {
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
		return "the connection was closed", io.ErrUnexpectedEOF
	}
	return describeTLS(err), nil
}

func describeDNS(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "the host name was not found"
	case err.IsTimeout:
		return "the name lookup timed out"
	}
	return "the name lookup failed"
}

// describeTLS tells an operator which half of the certificate to look at.
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
		return "tls: the certificate is signed by an unknown authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "tls: the certificate has expired or is not yet valid"
	case errors.As(err, &name):
		return "tls: the certificate is for another host"
	case errors.As(err, &invalid):
		return "tls: the certificate is not valid"
	case errors.As(err, &record):
		return "tls: the server does not speak TLS"
	case errors.As(err, &alert):
		return "tls: the server refused the handshake"
	}
	return "the connection or the answer was broken"
}
