package registry

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/discovery/wire"
)

// decode reads and checks a DiscoverResponse, as [vet] does.
func decode(r contract.Rules, raw []byte) (list, error) {
	n, err := contract.Count(raw, contract.FieldDevices)
	if err != nil {
		return list{}, err
	}
	if err := r.TooMany(n[contract.FieldDevices]); err != nil {
		return list{}, err
	}
	v := newVetting(r, n[contract.FieldDevices])
	place := 0
	var note []byte
	var departed []string
	err = contract.Fields(raw, func(number protowire.Number, device []byte) {
		switch {
		case number == contract.FieldNote:
			note = device
		case number == contract.FieldDeparted && len(departed) < r.Devices && len(device) <= r.IDBytes:
			departed = append(departed, string(device))
		}
		if number != contract.FieldDevices || v.tooLarge() != nil {
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

func decodeDevice(r contract.Rules, raw []byte) (discovery.Device, error) {
	n, err := contract.Count(raw, contract.FieldDeviceSpecs)
	if err != nil {
		return discovery.Device{}, err
	}
	// Up to twice the limits the device is decoded, and check says what is wrong.
	if n[contract.FieldProperties] > 2*r.Properties || n[contract.FieldMounts] > 2*r.Mounts || n[contract.FieldDeviceSpecs] > 2*r.DeviceSpecs {
		return discovery.Device{}, fmt.Errorf("%d properties, %d mounts and %d device nodes; at most %d, %d and %d are allowed",
			n[contract.FieldProperties], n[contract.FieldMounts], n[contract.FieldDeviceSpecs], r.Properties, r.Mounts, r.DeviceSpecs)
	}
	var m pb.Device
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &m); err != nil {
		return discovery.Device{}, fmt.Errorf("cannot be decoded: %v", err)
	}
	return wire.Device(&m), nil
}
