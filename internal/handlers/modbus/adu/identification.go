package adu

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The numbers of the objects of Read Device Identification (V1.1b3, 6.21).
const (
	VendorName = iota
	ProductCode
	MajorMinorRevision
	VendorURL
	ProductName
	ModelName
	UserApplicationName
)

const (
	encapsulated   = 0x2B // function 43: Encapsulated Interface Transport
	identification = 0x0E // MEI type 14: Read Device Identification
	pageHeader     = 6    // bytes, after the function code

	basic      = 1 // the access codes: objects 0 to 2
	regular    = 2 // 0 to 6
	individual = 4 // one

	// maxPages is how many answers to one access code are read; all standard objects
	// fit into seven, at their longest.
	maxPages = 8
)

// Identification is what a unit says of itself.
type Identification struct {
	// Conformity is its conformity level: 1 basic, 2 regular, 3 extended; 0x80 more if
	// it answers for single objects too.
	Conformity byte
	// Objects are the texts of the objects from VendorName to UserApplicationName. What
	// a unit does not say is empty.
	Objects [UserApplicationName + 1]string
	// Private is the object that was asked for beyond these, in hexadecimal if it is
	// no text.
	Private string
}

// Reading reads an [Identification], in as many requests as it takes: the regular
// objects, of which a unit that has only the basic ones gives those; the basic
// ones, if they did not come; and one private object, if one is wanted. Make it
// with [Identify].
type Reading struct {
	found   Identification
	any     bool
	private byte // 0: none

	code, object byte
	pages        int
	end          bool
}

// Identify begins to read. private is the object that is wanted beyond the
// standard ones, from 0x80; 0 if none is.
func Identify(private byte) *Reading { return &Reading{private: private, code: regular} }

// Request returns the PDU to send next; nil if all was read.
func (r *Reading) Request() []byte {
	if r.end {
		return nil
	}
	return []byte{encapsulated, identification, r.code, r.object}
}

// Found returns what was read.
func (r *Reading) Found() Identification { return r.found }

// Take takes the answer to the last request. After an error there is nothing more
// to ask: either it is an [Exception], or the answer cannot be understood.
func (r *Reading) Take(answer []byte) error {
	data, err := Data(r.Request(), answer)
	var p page
	if err == nil {
		p, err = parsePage(data)
	}
	var refused Exception
	unwilling := errors.As(err, &refused) && !refused.OfGateway() && !refused.Busy()
	switch {
	case err == nil:
		r.keep(p)
		r.pages++
	case unwilling && r.code == regular && refused != IllegalFunction: // it does not know that access code
	case unwilling && r.any: // it does not have what is asked for beyond the rest
	default:
		r.end = true
		return err
	}
	switch {
	case r.code == individual:
		r.end = true
	case p.more && p.next > r.object && p.next <= UserApplicationName && r.pages < maxPages:
		r.object = p.next
	case r.code == regular && r.found.Objects[VendorName] == "" && r.found.Objects[ProductCode] == "":
		r.next(basic, 0) // also where what is regular came without what is basic
	case r.private != 0:
		r.next(individual, r.private)
	default:
		r.end = true
	}
	return nil
}

func (r *Reading) next(code, object byte) { r.code, r.object, r.pages = code, object, 0 }

// keep keeps what a page has of the objects that are wanted.
func (r *Reading) keep(p page) {
	if !r.any {
		r.found.Conformity, r.any = p.conformity, true
	}
	for _, o := range p.objects {
		switch {
		case r.code == individual:
			if o.number == r.private {
				r.found.Private = private(o.value)
			}
		case o.number <= UserApplicationName:
			r.found.Objects[o.number] = plain(o.value)
		}
	}
}

// page is one answer to Read Device Identification.
type page struct {
	conformity byte
	more       bool
	next       byte // the object that more begin at
	objects    []object
}

type object struct {
	number byte
	value  []byte
}

// parsePage parses what follows the function code.
func parsePage(b []byte) (page, error) {
	if len(b) < pageHeader || b[0] != identification {
		return page{}, fmt.Errorf("the identification begins with %q", b[:min(len(b), pageHeader)])
	}
	p := page{conformity: b[2], more: b[3] != 0, next: b[4]}
	count, rest := int(b[5]), b[pageHeader:]
	for range count {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return page{}, fmt.Errorf("the identification ends after %d of %d objects", len(p.objects), count)
		}
		n := 2 + int(rest[1])
		p.objects = append(p.objects, object{rest[0], rest[2:n]})
		rest = rest[n:]
	}
	return p, nil
}

// plain returns a text as people read it: devices fill with spaces and NULs, and
// not all keep to ASCII.
func plain(b []byte) string {
	text := strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case r == 0 || unicode.IsSpace(r) || !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, string(b))
	return strings.TrimSpace(text)
}

// private returns the value of an object whose form is the vendor's.
func private(b []byte) string {
	text := strings.TrimRight(string(b), "\x00 ")
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return hex.EncodeToString(b)
		}
	}
	return strings.TrimSpace(text)
}
