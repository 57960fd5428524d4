package contract

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// An empty device takes two bytes on the wire and more than a hundred in memory,
// so a report of 16 MiB could fill a gigabyte. Reports are therefore received as
// bytes, and their devices are counted before they are decoded one at a time.

// RawCodec sends messages as usual and receives them as bytes.
type RawCodec struct{}

var _ encoding.CodecV2 = RawCodec{}

func (RawCodec) Name() string { return "proto" }

func (RawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("encode: %T is no message", v)
	}
	data, err := proto.Marshal(m)
	return mem.BufferSlice{mem.SliceBuffer(data)}, err
}

func (RawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	raw, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("decode: %T is not for bytes", v)
	}
	*raw = data.Materialize()
	return nil
}

var errMalformed = errors.New("the report is not a DiscoverResponse of the v0 protocol")

// Field numbers of DiscoverResponse and Device.
const (
	FieldDevices     = 1
	FieldProperties  = 2
	FieldMounts      = 3
	FieldDeviceSpecs = 4
	FieldNote        = 15
	FieldDeparted    = 16
)

// Count returns how often each field occurs, up to the number last.
func Count(raw []byte, last protowire.Number) ([FieldDeviceSpecs + 1]int, error) {
	var n [FieldDeviceSpecs + 1]int
	err := Fields(raw, func(number protowire.Number, _ []byte) {
		if number <= last {
			n[number]++
		}
	})
	return n, err
}

// Fields calls each with every field of a message that holds bytes.
func Fields(raw []byte, each func(protowire.Number, []byte)) error {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return errMalformed
		}
		raw = raw[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
				return errMalformed
			}
			raw = raw[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(raw)
		if n < 0 {
			return errMalformed
		}
		each(number, value)
		raw = raw[n:]
	}
	return nil
}
