package identity

import (
	"strings"

	"github.com/akri-go/akri/internal/handlers/udev/sysfs"
	"github.com/akri-go/akri/internal/shorten"
)

// Hardware is what a piece of hardware says of itself. What it does not say is
// empty.
type Hardware struct {
	VendorID, ProductID string // in hexadecimal, such as "0403"
	Vendor, Product     string
	Serial              string
}

// maxTextBytes is how long a text of the hardware may be. Those of USB have at
// most 126 characters.
const maxTextBytes = 256

// Describe returns what the hardware of a device says of itself: the USB device
// that it is part of, or else its nearest ancestor that says anything. Unlike
// ATTRS{serial} of a rule, this is never the serial number of a hub.
func Describe(d *sysfs.Device) Hardware {
	var nearest Hardware
	for ; d != nil; d = d.Ancestor() {
		var h Hardware
		_, isUSB := d.Attr("idVendor")
		switch {
		case isUSB:
			return Hardware{text(d, "idVendor"), text(d, "idProduct"), text(d, "manufacturer"), text(d, "product"), text(d, "serial")}
		case d.Subsystem() == "pci":
			h.VendorID, h.ProductID = strings.TrimPrefix(text(d, "vendor"), "0x"), strings.TrimPrefix(text(d, "device"), "0x")
		default:
			h = Hardware{Vendor: text(d, "vendor", "manfid"), Product: text(d, "model"), Serial: text(d, "serial", "wwid")}
			if h != (Hardware{}) && h.Product == "" {
				h.Product = text(d, "name")
			}
		}
		if nearest == (Hardware{}) {
			nearest = h
		}
	}
	return nearest
}

// text returns the first of several attributes that is not empty, in printable
// characters.
func text(d *sysfs.Device, attrs ...string) string {
	for _, name := range attrs {
		value, _ := d.Attr(name)
		value = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return '_'
			}
			return r
		}, strings.ToValidUTF8(strings.TrimSpace(value), "_"))
		if value != "" {
			return shorten.Text(value, maxTextBytes)
		}
	}
	return ""
}
