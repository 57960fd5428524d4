package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// deviceService is the part of the ONVIF device service (ver10) that finding
// and naming a camera needs.
var deviceService = service{nsDevice, map[string]operation{
	"GetSystemDateAndTime":   {true, getSystemDateAndTime},
	"GetCapabilities":        {true, getCapabilities},
	"GetServices":            {true, getServices},
	"GetServiceCapabilities": {true, getDeviceCapabilities},
	"GetHostname":            {true, getHostname},
	"GetEndpointReference":   {true, getEndpointReference},
	"GetDeviceInformation":   {false, getDeviceInformation},
	"GetNetworkInterfaces":   {false, getNetworkInterfaces},
	"GetScopes":              {false, getScopes},
	// What clients ask for beside the interfaces; there is none of it.
	"GetNetworkDefaultGateway": {false, func(request) (node, error) {
		return el("tds:GetNetworkDefaultGatewayResponse", el("tds:NetworkGateway")), nil
	}},
	"GetDNS": {false, func(request) (node, error) {
		return el("tds:GetDNSResponse", el("tds:DNSInformation", tx("tt:FromDHCP", "false"))), nil
	}},
}}

// now is the camera's clock.
func (c *Camera) now() time.Time { return c.sim.options.Now().Add(c.Faults().Clock).UTC() }

func getSystemDateAndTime(q request) (node, error) {
	now := dateTime(q.camera.now())
	return el("tds:GetSystemDateAndTimeResponse", el("tds:SystemDateAndTime",
		tx("tt:DateTimeType", "Manual"),
		tx("tt:DaylightSavings", "false"),
		el("tt:TimeZone", tx("tt:TZ", "UTC0")),
		el("tt:UTCDateTime", now...),
		el("tt:LocalDateTime", now...),
	)), nil
}

func dateTime(t time.Time) []node {
	n := func(name string, v int) node { return tx(name, strconv.Itoa(v)) }
	return []node{
		el("tt:Time", n("tt:Hour", t.Hour()), n("tt:Minute", t.Minute()), n("tt:Second", t.Second())),
		el("tt:Date", n("tt:Year", t.Year()), n("tt:Month", int(t.Month())), n("tt:Day", t.Day())),
	}
}

func getDeviceInformation(q request) (node, error) {
	c := q.camera
	return el("tds:GetDeviceInformationResponse",
		tx("tds:Manufacturer", c.Manufacturer),
		tx("tds:Model", c.Model),
		tx("tds:FirmwareVersion", c.Firmware),
		tx("tds:SerialNumber", c.SerialNumber),
		tx("tds:HardwareId", c.HardwareID),
	), nil
}

func getHostname(q request) (node, error) {
	return el("tds:GetHostnameResponse", el("tds:HostnameInformation",
		tx("tt:FromDHCP", "false"), tx("tt:Name", fmt.Sprintf("camera-%02d", q.camera.Number)))), nil
}

func getEndpointReference(q request) (node, error) {
	return el("tds:GetEndpointReferenceResponse", tx("tds:GUID", q.camera.Reference())), nil
}

// getScopes has those that a user may change as Configurable.
func getScopes(q request) (node, error) {
	var items []node
	for _, s := range q.camera.scopes() {
		kind := "Fixed"
		if strings.Contains(s, "/name/") || strings.Contains(s, "/location/") {
			kind = "Configurable"
		}
		items = append(items, el("tds:Scopes", tx("tt:ScopeDef", kind), tx("tt:ScopeItem", s)))
	}
	return el("tds:GetScopesResponse", items...), nil
}

// getNetworkInterfaces has one interface, eth0, with all addresses.
func getNetworkInterfaces(q request) (node, error) {
	c := q.camera
	c.mu.Lock()
	endpoints := c.endpoints
	c.mu.Unlock()
	var v4, v6 []node
	for _, e := range endpoints {
		address := e.at.Addr().WithZone("")
		entry := []node{tx("tt:Address", address.String()), tx("tt:PrefixLength", strconv.Itoa(e.on.bits(address)))}
		switch {
		case address.Is4():
			v4 = append(v4, el("tt:Manual", entry...))
		case address.IsLinkLocalUnicast():
			v6 = append(v6, el("tt:LinkLocal", entry...))
		default:
			v6 = append(v6, el("tt:Manual", entry...))
		}
	}
	network := el("tds:NetworkInterfaces", tx("tt:Enabled", "true"),
		el("tt:Info", tx("tt:Name", "eth0"), tx("tt:HwAddress", c.MAC.String()), tx("tt:MTU", "1500")),
	).with("token", "eth0")
	if v4 != nil {
		network.kids = append(network.kids, el("tt:IPv4", tx("tt:Enabled", "true"),
			el("tt:Config", append(v4, tx("tt:DHCP", "false"))...)))
	}
	if v6 != nil {
		config := append([]node{tx("tt:AcceptRouterAdvert", "false"), tx("tt:DHCP", "Off")}, v6...)
		network.kids = append(network.kids, el("tt:IPv6", tx("tt:Enabled", "true"), el("tt:Config", config...)))
	}
	return el("tds:GetNetworkInterfacesResponse", network), nil
}

// at is a URL of the camera at the address by which it was called.
func (q request) at(path string) string { return q.camera.url(q.via.at, path) }

func getCapabilities(q request) (node, error) {
	wanted := func(category string) bool {
		asked, all := "", true
		for _, c := range q.body.children {
			asked, all = c.content(), c.content() == "All"
			if all || asked == category {
				return true
			}
		}
		return all
	}
	capabilities := el("tds:Capabilities")
	if wanted("Device") {
		capabilities.kids = append(capabilities.kids, el("tt:Device", tx("tt:XAddr", q.at("/onvif/device_service"))))
	}
	if wanted("Media") {
		capabilities.kids = append(capabilities.kids, el("tt:Media", tx("tt:XAddr", q.at("/onvif/media_service")),
			el("tt:StreamingCapabilities", tx("tt:RTPMulticast", "false"), tx("tt:RTP_TCP", "true"),
				tx("tt:RTP_RTSP_TCP", "true"))))
	}
	if len(capabilities.kids) == 0 {
		return node{}, &fault{false, []string{"ter:ActionNotSupported", "ter:NoSuchService"}, "No such service"}
	}
	return el("tds:GetCapabilitiesResponse", capabilities), nil
}

func getServices(q request) (node, error) {
	entry := func(namespace, path string) node {
		return el("tds:Service", tx("tds:Namespace", namespace), tx("tds:XAddr", q.at(path)),
			el("tds:Version", tx("tt:Major", "2"), tx("tt:Minor", "60")))
	}
	return el("tds:GetServicesResponse",
		entry(nsDevice, "/onvif/device_service"), entry(nsMedia, "/onvif/media_service")), nil
}

func getDeviceCapabilities(q request) (node, error) {
	auth := q.camera.sim.options.Auth
	is := func(a Auth) string { return strconv.FormatBool(auth == a || auth == AuthBoth) }
	return el("tds:GetServiceCapabilitiesResponse", el("tds:Capabilities",
		el("tds:Network"),
		node{name: "tds:Security"}.with("UsernameToken", is(AuthUsernameToken)).with("HttpDigest", is(AuthDigest)),
		el("tds:System"),
	)), nil
}
