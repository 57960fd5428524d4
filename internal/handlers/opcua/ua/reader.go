package ua

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// reader reads the built-in types (OPC 10000-6, 5.2.2). After the first error,
// which stays, it reads zeros.
type reader struct {
	in    io.Reader
	err   error
	texts int  // bytes of texts that may still be kept
	long  bool // a text was longer than may be kept, and is ""
	bytes [8]byte
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) read(n int) []byte {
	b := r.bytes[:n]
	if r.err == nil {
		if _, err := io.ReadFull(r.in, b); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			r.fail(errShort)
		} else if err != nil {
			r.fail(err)
		}
	}
	if r.err != nil {
		clear(b)
	}
	return b
}

func (r *reader) u8() byte    { return r.read(1)[0] }
func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.read(2)) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.read(4)) }

// skip reads bytes that nobody wants.
func (r *reader) skip(n int) {
	for n > 0 && r.err == nil {
		part := min(n, len(r.bytes))
		r.read(part)
		n -= part
	}
}

// length returns that of a list or a text; 0 for none.
func (r *reader) length() int {
	n := int32(r.u32())
	if n < -1 {
		r.fail(fmt.Errorf("the server sends a length of %d", n))
	}
	return int(max(0, n))
}

// text returns a String: valid UTF-8 without control characters.
func (r *reader) text() string {
	n := r.length()
	if n > MaxText || n > r.texts {
		r.long = true
		r.skip(n)
		return ""
	}
	if n == 0 || r.err != nil {
		return ""
	}
	r.texts -= n
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		r.fail(err)
		return ""
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return unicode.ReplacementChar
		}
		return c
	}, strings.ToValidUTF8(string(b), string(unicode.ReplacementChar)))
}

// skipText skips a String or ByteString.
func (r *reader) skipText() { r.skip(r.length()) }

// skipTexts skips a list of them.
func (r *reader) skipTexts() {
	for n := r.length(); n > 0 && r.err == nil; n-- {
		r.skipText()
	}
}

// localized returns the text of a LocalizedText.
func (r *reader) localized() string {
	mask, text := r.u8(), ""
	if mask&1 != 0 {
		r.skipText() // the language
	}
	if mask&2 != 0 {
		text = r.text()
	}
	return text
}

// nodeID returns a NodeId or ExpandedNodeId that is a number of namespace 0; 0
// for any other.
func (r *reader) nodeID() (id uint32) {
	kind := r.u8()
	space := uint16(0)
	switch kind & 0x3f {
	case 0:
		id = uint32(r.u8())
	case 1:
		space = uint16(r.u8())
		id = uint32(r.u16())
	case 2:
		space = r.u16()
		id = r.u32()
	case 3, 5: // a text, bytes
		r.skip(2)
		r.skipText()
	case 4: // a GUID
		r.skip(2 + 16)
	default:
		r.fail(fmt.Errorf("the server sends a NodeId of kind %#x", kind))
	}
	if kind&0x80 != 0 {
		r.skipText() // the URI of its namespace
	}
	if kind&0x40 != 0 {
		r.skip(4) // the number of its server
	}
	if space != 0 {
		return 0
	}
	return id
}

// skipDiagnostics skips a DiagnosticInfo, with those that are in it.
func (r *reader) skipDiagnostics() {
	for r.err == nil {
		mask := r.u8()
		for _, bit := range []byte{1, 2, 8, 4} { // numbers of texts
			if mask&bit != 0 {
				r.skip(4)
			}
		}
		if mask&0x10 != 0 {
			r.skipText()
		}
		if mask&0x20 != 0 {
			r.skip(4)
		}
		if mask&0x40 == 0 {
			return
		}
	}
}

// response reads the header of an answer, which must be of a type, and fails if
// the server says that it cannot answer (OPC 10000-4, 7.34).
func (r *reader) response(want uint32) {
	got := r.nodeID()
	r.skip(8 + 4) // the time, and what we call the request
	status := Status(r.u32())
	r.skipDiagnostics()
	r.skipTexts()
	r.nodeID() // an additional header
	switch body := r.u8(); body {
	case 0:
	case 1, 2:
		r.skipText()
	default:
		r.fail(fmt.Errorf("the server sends an ExtensionObject of kind %d", body))
	}
	switch {
	case r.err != nil:
	case status.bad():
		r.fail(&StatusError{Status: status})
	case got == idServiceFault:
		r.fail(errors.New("the server says that it cannot answer, and not why"))
	case got != want:
		r.fail(fmt.Errorf("the server sends an answer of type %d, want %d", got, want))
	}
}

// end reads the rest of the answer.
func (r *reader) end() error {
	if r.err == nil {
		if _, err := io.Copy(io.Discard, r.in); err != nil {
			r.fail(err)
		}
	}
	return r.err
}
