package registry

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/wire"
)

// An empty device takes two bytes on the wire and more than a hundred in memory,
// so a report of 16 MiB could fill a gigabyte. Reports are therefore received as
// bytes, and their devices are counted before they are decoded one at a time.

// rawCodec sends messages as usual and receives them as bytes.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("encode: %T is no message", v)
	}
	data, err := proto.Marshal(m)
	return mem.BufferSlice{mem.SliceBuffer(data)}, err
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
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
	fieldDevices     = 1
	fieldProperties  = 2
	fieldMounts      = 3
	fieldDeviceSpecs = 4
	fieldNote        = 15
	fieldDeparted    = 16
)

// decode reads and checks a DiscoverResponse, as [vet] does.
func decode(r rules, raw []byte) (list, error) {
	n, err := count(raw, fieldDevices)
	if err != nil {
		return list{}, err
	}
	if err := r.tooMany(n[fieldDevices]); err != nil {
		return list{}, err
	}
	v := newVetting(r, n[fieldDevices])
	place := 0
	var note []byte
	var departed []string
	err = fields(raw, func(number protowire.Number, device []byte) {
		switch {
		case number == fieldNote:
			note = device
		case number == fieldDeparted && len(departed) < r.Devices && len(device) <= r.IDBytes:
			departed = append(departed, string(device))
		}
		if number != fieldDevices || v.tooLarge() != nil {
			return
		}
		place++
		d, err := decodeDevice(r, device)
		if err != nil {
			v.refused.add(fmt.Sprintf("device %d of the list: %v", place, err))
			return
		}
		v.add(d)
	})
	if err == nil {
		err = v.tooLarge()
	}
	if err != nil {
		return list{}, err
	}
	return list{v.devices, departed, noted(v.refused.err(), string(note))}, nil
}

func decodeDevice(r rules, raw []byte) (discovery.Device, error) {
	n, err := count(raw, fieldDeviceSpecs)
	if err != nil {
		return discovery.Device{}, err
	}
	// Up to twice the limits the device is decoded, and check says what is wrong.
	if n[fieldProperties] > 2*r.Properties || n[fieldMounts] > 2*r.Mounts || n[fieldDeviceSpecs] > 2*r.DeviceSpecs {
		return discovery.Device{}, fmt.Errorf("%d properties, %d mounts and %d device nodes; at most %d, %d and %d are allowed",
			n[fieldProperties], n[fieldMounts], n[fieldDeviceSpecs], r.Properties, r.Mounts, r.DeviceSpecs)
	}
	var m pb.Device
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &m); err != nil {
		return discovery.Device{}, fmt.Errorf("cannot be decoded: %v", err)
	}
	return wire.Device(&m), nil
}

// count returns how often each field occurs, up to the number last.
func count(raw []byte, last protowire.Number) ([fieldDeviceSpecs + 1]int, error) {
	var n [fieldDeviceSpecs + 1]int
	err := fields(raw, func(number protowire.Number, _ []byte) {
		if number <= last {
			n[number]++
		}
	})
	return n, err
}

// fields calls each with every field of a message that holds bytes.
func fields(raw []byte, each func(protowire.Number, []byte)) error {
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
