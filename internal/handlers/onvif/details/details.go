// Package details reads what a Configuration asks the handler onvif: its
// discoveryDetails. It speaks to no camera, so that a Configuration can be
// checked where the handler does not run.
package details

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/handlers/fields"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

const keys = "ipAddresses, macAddresses, scopes, uuids (with action and items), discoveryTimeoutSeconds, interval, " +
	"interfaces, addresses, networks and insecureSkipTLSVerify"

// What people read of the handler.
const (
	// Name is what Configurations ask for.
	Name = "onvif"
	// Summary says in one line what the handler finds.
	Summary = "network cameras that speak ONVIF"
	// About says what the handler needs and does.
	About = `Probes by multicast (UDP 239.255.255.250 and ff02::c, port 3702) and listens
for what cameras announce, which needs the network that the cameras are on;
then asks each camera by HTTP or HTTPS who it is. User names and passwords
come from discoveryProperties.`
)

const (
	maxLength    = 1 << 20 // bytes
	maxItems     = 1024    // of a list
	maxItem      = 256     // bytes
	maxTimeout   = 60      // seconds
	minInterval  = time.Second
	maxInterval  = time.Hour
	defaultDelay = time.Second
	// MaxProbed is how many addresses a Configuration may have probed one by
	// one: an IPv4 /20.
	MaxProbed = 4096
)

// DefaultInterval is the time between two probes at first.
const DefaultInterval = schedule.DefaultInterval

// Details is what the discoveryDetails of a Configuration say.
type Details struct {
	// Cameras that one of these excludes are not reported.
	IPAddresses, MACAddresses, Scopes, UUIDs Filter
	// Timeout is how long a probe waits for answers.
	Timeout time.Duration
	// Interval is the time between two probes at first; it grows while nothing
	// changes.
	Interval time.Duration
	// Interfaces are the names, or patterns as of [path.Match], of those that are
	// probed by multicast. Nil means all that are suitable; empty but not nil,
	// none.
	Interfaces []string
	// Addresses and Networks are probed one by one.
	Addresses []netip.Addr
	Networks  []netip.Prefix
	// SkipTLSVerify takes any certificate.
	SkipTLSVerify bool
}

// text is the YAML mapping.
type text struct {
	IPAddresses             *filterText `json:"ipAddresses"`
	MACAddresses            *filterText `json:"macAddresses"`
	Scopes                  *filterText `json:"scopes"`
	UUIDs                   *filterText `json:"uuids"`
	DiscoveryTimeoutSeconds *int64      `json:"discoveryTimeoutSeconds"`
	Interval                *string     `json:"interval"`
	Interfaces              *[]string   `json:"interfaces"`
	Addresses               []string    `json:"addresses"`
	Networks                []string    `json:"networks"`
	InsecureSkipTLSVerify   bool        `json:"insecureSkipTLSVerify"`
}

// Check tells whether discoveryDetails can be used. Warnings say what will find
// nothing.
func Check(s string) (warnings []string, err error) {
	d, err := Parse(s)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		key    string
		filter Filter
		valid  func(string) bool
		want   string
	}{
		{"ipAddresses", d.IPAddresses, isAddress, "an IP address or network, such as 192.168.1.7 or 192.168.1.0/24"},
		{"macAddresses", d.MACAddresses, isMAC, "a MAC address, such as 00:12:41:5c:a1:a5"},
		{"scopes", d.Scopes, isURI, "a scope, such as onvif://www.onvif.org/type/video_encoder"},
		{"uuids", d.UUIDs, func(string) bool { return true }, ""},
	} {
		if f.filter.Action == Include && len(f.filter.Items) == 0 {
			warnings = append(warnings, f.key+": Include without items leaves no camera")
		}
		for i, item := range f.filter.Items {
			if !f.valid(item) {
				warnings = append(warnings,
					fmt.Sprintf("%s.items[%d]: %q matches no camera: want %s", f.key, i, item, f.want))
			}
		}
	}
	if d.Interfaces != nil && len(d.Interfaces) == 0 && len(d.Addresses)+len(d.Networks) == 0 {
		warnings = append(warnings, "interfaces: none, and neither addresses nor networks: no camera is looked for")
	}
	if d.SkipTLSVerify {
		warnings = append(warnings,
			"insecureSkipTLSVerify: whoever is between node and camera can read what https would hide")
	}
	return warnings, nil
}

// Parse parses discoveryDetails, a YAML mapping; an empty text is an empty one.
// Errors name the key at fault.
func Parse(s string) (Details, error) {
	d := Details{Timeout: defaultDelay, Interval: DefaultInterval}
	if len(s) > maxLength {
		return d, fmt.Errorf("%d bytes, at most %d are allowed", len(s), maxLength)
	}
	var t text
	if err := yaml.UnmarshalStrict([]byte(s), &t); err != nil {
		return d, fields.Explain(err, keys)
	}
	var err error
	for _, f := range []struct {
		key  string
		from *filterText
		to   *Filter
	}{
		{"ipAddresses", t.IPAddresses, &d.IPAddresses}, {"macAddresses", t.MACAddresses, &d.MACAddresses},
		{"scopes", t.Scopes, &d.Scopes}, {"uuids", t.UUIDs, &d.UUIDs},
	} {
		if *f.to, err = f.from.filter(); err != nil {
			return d, fmt.Errorf("%s: %w", f.key, err)
		}
	}
	if n := t.DiscoveryTimeoutSeconds; n != nil {
		if *n < 1 || *n > maxTimeout {
			return d, fmt.Errorf("discoveryTimeoutSeconds: %d, want 1 to %d", *n, maxTimeout)
		}
		d.Timeout = time.Duration(*n) * time.Second
	}
	if t.Interval != nil {
		d.Interval, err = time.ParseDuration(*t.Interval)
		if err != nil || d.Interval < minInterval || d.Interval > maxInterval {
			return d, fmt.Errorf("interval: %q, want a time from %s to 1h, such as 30s", *t.Interval, minInterval)
		}
	}
	d.SkipTLSVerify = t.InsecureSkipTLSVerify
	return d, d.where(t)
}

// where reads where to look.
func (d *Details) where(t text) error {
	if t.Interfaces != nil {
		d.Interfaces = append([]string{}, *t.Interfaces...)
	}
	for key, list := range map[string][]string{
		"interfaces": d.Interfaces, "addresses": t.Addresses, "networks": t.Networks,
	} {
		if len(list) > maxItems {
			return fmt.Errorf("%s: %d, at most %d are allowed", key, len(list), maxItems)
		}
	}
	for i, name := range d.Interfaces {
		if _, err := path.Match(name, ""); err != nil || name == "" || strings.ContainsAny(name, "/ \t\n") {
			return fmt.Errorf("interfaces[%d]: %q is neither the name of a network interface nor a pattern such as eth*",
				i, name)
		}
	}
	for i, s := range t.Addresses {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || !unicast(a.Unmap()) {
			return fmt.Errorf("addresses[%d]: %q is not an IP address that one camera could have", i, s)
		}
		d.Addresses = append(d.Addresses, a.Unmap())
	}
	probed := len(d.Addresses)
	for i, s := range t.Networks {
		p, err := netip.ParsePrefix(s)
		if err != nil || !unicast(p.Addr()) || p.Addr().Is4In6() {
			return fmt.Errorf("networks[%d]: %q is not a network of cameras, such as 10.20.0.0/24", i, s)
		}
		host := p.Addr().BitLen() - p.Bits()
		if host > 12 {
			return fmt.Errorf("networks[%d]: %s has too many addresses: each is probed, and there may be %d in all (a /20)",
				i, s, MaxProbed)
		}
		probed += 1 << host
		d.Networks = append(d.Networks, p.Masked())
	}
	if probed > MaxProbed {
		return fmt.Errorf("addresses and networks: %d addresses to probe, at most %d are allowed", probed, MaxProbed)
	}
	return nil
}

// unicast tells whether a camera could have the address.
func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// checkItem refuses what no list needs.
func checkItem(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if len(s) > maxItem {
		return fmt.Errorf("%d bytes, at most %d are allowed", len(s), maxItem)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("has a control character")
	}
	return nil
}
