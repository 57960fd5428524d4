// Package protobuf reads and changes what the local API must know of a body in
// Kubernetes' protobuf encoding: who it is, and the resourceVersion in it. It
// needs no types of the API, since all have their metadata in one place, and so
// edgecore links none.
//
// A body is the magic number and an Unknown (runtime/generated.proto of
// k8s.io/apimachinery), which has the object as bytes. The numbers of fields
// never change.
package protobuf

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// ContentType is the media type of the encoding.
const ContentType = "application/vnd.kubernetes.protobuf"

// magic is what each body begins with.
var magic = []byte("k8s\x00")

// path leads from an Unknown to a field: each number but the last is that of a
// message.
type path []protowire.Number

// Where the fields are. All messages but DeleteOptions are objects.
var (
	apiVersion  = path{1, 1}
	kind        = path{1, 2}
	encoding    = path{3}
	contentType = path{4}

	name            = path{2, 1, 1}
	namespace       = path{2, 1, 3}
	resourceVersion = path{2, 1, 6}

	precondition = path{2, 2, 2} // of DeleteOptions: preconditions.resourceVersion
	dryRun       = path{2, 5}
)

// Head is what is read of an object.
type Head struct{ APIVersion, Kind, Namespace, Name, ResourceVersion string }

// ReadHead reads the head of an object.
func ReadHead(body []byte) (Head, error) {
	var h Head
	return h, read(body, map[*string]path{
		&h.APIVersion: apiVersion, &h.Kind: kind, &h.Namespace: namespace, &h.Name: name, &h.ResourceVersion: resourceVersion,
	})
}

// WithResourceVersion returns an object with another resourceVersion in place of
// the one that it has.
func WithResourceVersion(body []byte, rv string) ([]byte, error) {
	return replaceIn(body, resourceVersion, rv)
}

// DeleteOptions are what is read of a DeleteOptions.
type DeleteOptions struct {
	ResourceVersion string // a precondition
	DryRun          bool
}

// ReadDeleteOptions reads a DeleteOptions.
func ReadDeleteOptions(body []byte) (DeleteOptions, error) {
	var o DeleteOptions
	var dry string
	err := read(body, map[*string]path{&o.ResourceVersion: precondition, &dry: dryRun})
	o.DryRun = dry != ""
	return o, err
}

// WithPrecondition returns a DeleteOptions with another resourceVersion in place
// of the one that it has.
func WithPrecondition(body []byte, rv string) ([]byte, error) {
	return replaceIn(body, precondition, rv)
}

var errMalformed = errors.New("not an object in Kubernetes' protobuf encoding")

// unknown returns the Unknown of a body.
func unknown(body []byte) ([]byte, error) {
	message, ok := bytes.CutPrefix(body, magic)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with k8s", errMalformed)
	}
	for _, p := range []path{encoding, contentType} {
		if value, err := get(message, p); err != nil || len(value) > 0 {
			return nil, fmt.Errorf("%w: the object in it has another encoding", errMalformed)
		}
	}
	return message, nil
}

func read(body []byte, into map[*string]path) error {
	message, err := unknown(body)
	if err != nil {
		return err
	}
	for to, p := range into {
		value, err := get(message, p)
		if err != nil {
			return err
		}
		*to = string(value)
	}
	return nil
}

func replaceIn(body []byte, p path, value string) ([]byte, error) {
	message, err := unknown(body)
	if err != nil {
		return nil, err
	}
	changed, err := replace(message, p, value)
	if err != nil {
		return nil, err
	}
	return append(bytes.Clone(magic), changed...), nil
}

// get returns the value of a field; empty if it is not there.
func get(message []byte, p path) ([]byte, error) {
	for _, number := range p {
		f, err := find(message, number)
		if err != nil || f.value == nil {
			return nil, err
		}
		message = f.value
	}
	return message, nil
}

// replace gives a field another value; one that is not there stays away.
func replace(message []byte, p path, value string) ([]byte, error) {
	f, err := find(message, p[0])
	if err != nil || f.value == nil {
		return message, err
	}
	next := []byte(value)
	if len(p) > 1 {
		if next, err = replace(f.value, p[1:], value); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, len(message)+len(value)+16)
	out = append(out, message[:f.from]...)
	out = protowire.AppendTag(out, p[0], protowire.BytesType)
	out = protowire.AppendBytes(out, next)
	return append(out, message[f.to:]...), nil
}

// field is a field with bytes in a message, which begins at from and ends before
// to. value is nil if it is not there.
type field struct {
	from, to int
	value    []byte
}

// find finds a field. Encoders write each once, but for lists, of which the first
// element is found only if it is the only one: more are malformed here, since a
// reader would have to join them.
func find(message []byte, number protowire.Number) (field, error) {
	var found field
	for at := 0; at < len(message); {
		n, kind, tag := protowire.ConsumeTag(message[at:])
		if tag < 0 {
			return field{}, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(n, kind, message[at+tag:])
		if size < 0 {
			return field{}, fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
		}
		end := at + tag + size
		if n == number {
			if kind != protowire.BytesType || found.value != nil {
				return field{}, fmt.Errorf("%w: field %d is there twice, or of another type", errMalformed, number)
			}
			value, _ := protowire.ConsumeBytes(message[at+tag:])
			found = field{at, end, value[:len(value):len(value)]}
		}
		at = end
	}
	return found, nil
}
