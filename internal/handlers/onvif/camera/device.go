package camera

import (
	"encoding/xml"
	"net/netip"
	"strings"
)

// The operations of the device service that are called: ONVIF Device Management
// Service, https://www.onvif.org/ver10/device/wsdl/devicemgmt.wsdl.

type getDeviceInformation struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetDeviceInformation"`
}

type deviceInformation struct {
	XMLName      xml.Name `xml:"GetDeviceInformationResponse"`
	Manufacturer string   `xml:"Manufacturer"`
	Model        string   `xml:"Model"`
	Firmware     string   `xml:"FirmwareVersion"`
	Serial       string   `xml:"SerialNumber"`
	Hardware     string   `xml:"HardwareId"`
}

type getNetworkInterfaces struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetNetworkInterfaces"`
}

type networkInterfaces struct {
	XMLName    xml.Name           `xml:"GetNetworkInterfacesResponse"`
	Interfaces []networkInterface `xml:"NetworkInterfaces"`
}

type networkInterface struct {
	Enabled string    `xml:"Enabled"`
	MAC     string    `xml:"Info>HwAddress"`
	IPv4    addresses `xml:"IPv4>Config"`
	IPv6    addresses `xml:"IPv6>Config"`
}

type addresses struct {
	Manual   []string `xml:"Manual>Address"`
	Link     []string `xml:"LinkLocal>Address"`
	FromDHCP []string `xml:"FromDHCP>Address"`
	FromRA   []string `xml:"FromRA>Address"`
}

const maxInterfaces = 32

// all returns the addresses of an interface.
func (i networkInterface) all() (list []netip.Addr) {
	for _, texts := range [][]string{
		i.IPv4.Manual, i.IPv4.FromDHCP, i.IPv4.Link, i.IPv6.Manual, i.IPv6.FromDHCP, i.IPv6.FromRA, i.IPv6.Link,
	} {
		for _, s := range texts[:min(len(texts), maxInterfaces)] {
			s, _, _ = strings.Cut(strings.TrimSpace(s), "/")
			if a, err := netip.ParseAddr(s); err == nil && !a.IsUnspecified() {
				list = append(list, a.Unmap())
			}
		}
	}
	return list
}

func (i networkInterface) enabled() bool {
	e := strings.TrimSpace(i.Enabled)
	return e == "" || e == "true" || e == "1"
}

type getScopes struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetScopes"`
}

type scopes struct {
	XMLName xml.Name `xml:"GetScopesResponse"`
	Items   []string `xml:"Scopes>ScopeItem"`
}
