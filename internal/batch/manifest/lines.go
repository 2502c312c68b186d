package manifest

import (
	"bufio"
	"errors"
	"io"
)

// lines reads physical lines, which end in LF, CRLF or CR.
type lines struct {
	in   *bufio.Reader
	line int    // number of the last line, from 1
	text []byte // the last line without its end
	end  string // how it ended; empty at the end of the file
	long bool   // text is only the beginning of the line, which has over MaxRow bytes
}

// next reads a line. It stops within a line that is too long; skip reads on to its end.
func (l *lines) next() error {
	l.text, l.end, l.long = l.text[:0], "", false
	l.line++
	for {
		chunk, ended, err := l.chunk()
		if errors.Is(err, io.EOF) && len(l.text) > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if room := MaxRow - len(l.text); len(chunk) > room {
			l.text, l.long = append(l.text, chunk[:room]...), true
			_, err = l.in.Discard(room)
			return err
		}
		l.text = append(l.text, chunk...)
		if _, err := l.in.Discard(len(chunk)); err != nil {
			return err
		}
		if ended {
			return l.lineEnd()
		}
	}
}

// chunk returns what is buffered of the line, at least one byte, or none if the line ends there.
func (l *lines) chunk() (chunk []byte, ended bool, err error) {
	if _, err := l.in.Peek(1); err != nil {
		return nil, false, err
	}
	buffered, err := l.in.Peek(l.in.Buffered())
	for i, c := range buffered {
		if c == '\n' || c == '\r' {
			return buffered[:i], true, err
		}
	}
	return buffered, false, err
}

func (l *lines) lineEnd() error {
	c, err := l.in.ReadByte()
	l.end = string(c)
	if next, peekErr := l.in.Peek(1); c == '\r' && peekErr == nil && next[0] == '\n' {
		l.end = "\r\n"
		_, err = l.in.Discard(1)
	}
	return err
}

// skip reads to the end of a line that is too long.
func (l *lines) skip() error {
	for {
		chunk, ended, err := l.chunk()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = l.in.Discard(len(chunk))
		}
		if err == nil && ended {
			return l.lineEnd()
		}
		if err != nil {
			return err
		}
	}
}
