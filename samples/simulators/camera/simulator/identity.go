package simulator

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"net"
)

// Identity identifies a camera.
type Identity struct {
	// Number counts the cameras of a seed from 1.
	Number int
	// UUID is in lower case with hyphens; the endpoint reference of
	// WS-Discovery is "urn:uuid:" and this.
	UUID                          string
	Name, Location                string
	Manufacturer, Model, Firmware string
	SerialNumber, HardwareID      string
	// MAC is a locally administered unicast address.
	MAC net.HardwareAddr
}

// namespace is the UUID that names are made below (RFC 9562, version 5).
var namespace = [16]byte{0x5b, 0x1c, 0x3d, 0x52, 0x0a, 0x7e, 0x4d, 0x0f, 0x9c, 0x6e, 0x2f, 0x41, 0x88, 0x10, 0x73, 0xaa}

// makes are manufacturers and models, all invented.
var makes = []struct{ manufacturer, model, firmware string }{
	{"Halcyon Optics", "HX-200", "2.4.1"},
	{"Bramble Imaging", "Dome 4 Mini", "1.19.0 build 230"},
	{"Fjordsyn", "FS Bullet/8", "5.0.3"},
}

var locations = []string{"gate", "yard", "loading bay", "line 3", "Büro"}

// Identify returns the identity of a camera. Numbers start at 1. The result
// depends on seed and number only; different seeds have no UUIDs in common.
func Identify(seed string, number int) Identity {
	sum := sha1.Sum(fmt.Appendf(namespace[:], "%s/%d", seed, number))
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	kind := makes[(number-1)%len(makes)]
	mac := net.HardwareAddr{0x02, sum[16], sum[17], 0, 0, 0}
	binary.BigEndian.PutUint16(mac[4:], uint16(number))
	mac[3] = byte(number >> 16)
	return Identity{
		Number:       number,
		UUID:         fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16]),
		Name:         fmt.Sprintf("Camera %02d", number),
		Location:     locations[(number-1)%len(locations)],
		Manufacturer: kind.manufacturer,
		Model:        kind.model,
		Firmware:     kind.firmware,
		SerialNumber: fmt.Sprintf("SIM%X%05d", sum[18:20], number),
		HardwareID:   "sim-1",
		MAC:          mac,
	}
}
