package camera

import (
	"encoding/xml"
	"net/netip"
	"strings"
	"time"
)

// The operations of the device service that are called: ONVIF Device Management
// Service, https://www.onvif.org/ver10/device/wsdl/devicemgmt.wsdl.

type getSystemDateAndTime struct {
	XMLName xml.Name `xml:"http://www.onvif.org/ver10/device/wsdl GetSystemDateAndTime"`
}

type systemDateAndTime struct {
	XMLName xml.Name `xml:"GetSystemDateAndTimeResponse"`
	UTC     *struct {
		Hour   int `xml:"Time>Hour"`
		Minute int `xml:"Time>Minute"`
		Second int `xml:"Time>Second"`
		Year   int `xml:"Date>Year"`
		Month  int `xml:"Date>Month"`
		Day    int `xml:"Date>Day"`
	} `xml:"SystemDateAndTime>UTCDateTime"`
}

// time returns the camera's time; false if it says none.
func (r systemDateAndTime) time() (time.Time, bool) {
	u := r.UTC
	if u == nil || u.Year < 1970 || u.Year > 9999 || u.Month < 1 || u.Month > 12 || u.Day < 1 || u.Day > 31 ||
		u.Hour < 0 || u.Hour > 24 || u.Minute < 0 || u.Minute > 60 || u.Second < 0 || u.Second > 61 {
		return time.Time{}, false
	}
	return time.Date(u.Year, time.Month(u.Month), u.Day, u.Hour, u.Minute, u.Second, 0, time.UTC), true
}

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
