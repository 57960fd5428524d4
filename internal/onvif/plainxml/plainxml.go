// Package plainxml reads XML from strangers: as much as [encoding/xml] does, and
// no more than it may cost. Documents with a DTD are refused, and so are those
// that are large, deep or made of very many pieces.
package plainxml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

const (
	maxDepth  = 32
	maxTokens = 20_000
	maxAttrs  = 64 // of one element
)

// ErrDTD says that a document has a DTD, with which entities are made. XML of
// SOAP must not have one (SOAP 1.2 part 1, section 5).
var ErrDTD = errors.New("it has a DTD, which SOAP does not allow")

// Unmarshal reads a document into v, as [xml.Unmarshal] does.
func Unmarshal(document []byte, v any) error {
	document = bytes.TrimPrefix(document, []byte("\ufeff"))
	t := &tokens{raw: xml.NewDecoder(bytes.NewReader(document))}
	err := xml.NewTokenDecoder(t).Decode(v)
	if err == io.EOF {
		return errors.New("it has no XML element")
	}
	return err
}

// tokens passes on what a document may be made of.
type tokens struct {
	raw         *xml.Decoder
	depth, seen int
}

// Token returns the next token, of which names are as they are written: the
// decoder over it finds out what prefixes mean.
func (t *tokens) Token() (xml.Token, error) {
	token, err := t.raw.RawToken()
	if err != nil {
		return nil, err
	}
	if t.seen++; t.seen > maxTokens {
		return nil, fmt.Errorf("it has more than %d pieces", maxTokens)
	}
	switch e := token.(type) {
	case xml.Directive:
		return nil, ErrDTD
	case xml.StartElement:
		if t.depth++; t.depth > maxDepth {
			return nil, fmt.Errorf("its elements are nested more than %d deep", maxDepth)
		}
		if len(e.Attr) > maxAttrs {
			return nil, fmt.Errorf("an element has more than %d attributes", maxAttrs)
		}
	case xml.EndElement:
		t.depth--
	}
	return token, nil
}
