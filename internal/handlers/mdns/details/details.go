// Package details reads what a Configuration asks the handler mdns: its
// discoveryDetails. It speaks to no device, so that a Configuration can be checked
// where the handler does not run.
package details

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/handlers/fields"
)

// What people read of the handler.
const (
	// Name is what Configurations ask for.
	Name = "mdns"
	// Summary says in one line what the handler finds.
	Summary = "services that devices announce by mDNS (Bonjour, Avahi)"
	// About says what the handler needs and does.
	About = `Needs service types, such as _ipp._tcp, and the network that the devices
are on. Asks by multicast (UDP 224.0.0.251 and ff02::fb, port 5353), and
hears what devices announce. It connects to none of them.`
)

const (
	maxLength    = 256 << 10 // bytes
	maxTypes     = 16
	maxTypeBytes = 63 // of one label (RFC 1035)
	maxRFCBytes  = 15 // of a service's name (RFC 6335, section 5.1)
	maxKeys      = 16 // of TXT records that are filters
	maxKeyBytes  = 64
	maxItems     = 1024 // of a list
	maxItem      = 256  // bytes
	maxTimeout   = 60   // seconds
	// DefaultTimeout is for how long the first list waits for answers: the second
	// question is sent after a second, and its answers take less than another.
	DefaultTimeout = 2 * time.Second
)

// Details is what the discoveryDetails of a Configuration say.
type Details struct {
	// Types are the service types that are looked for, in lower case and without
	// domain: "_ipp._tcp", or with a subtype "_universal._sub._ipp._tcp". Each is
	// there once.
	Types []string
	// Instances and Hosts choose by the name of a service and of its host.
	Instances, Hosts Filter
	// TXT choose by the values of keys, which are in lower case.
	TXT map[string]Filter
	// TXTProperties chooses the keys whose values become properties.
	TXTProperties Filter
	// IdentityKey is the key, in lower case, whose value a device is known by; "" if
	// that is its name.
	IdentityKey string
	// Interfaces are the names, or patterns as of [path.Match], of those on which
	// devices are looked for. Nil means all that are suitable.
	Interfaces []string
	// Networks have addresses that devices may have besides those of the interface
	// on which they were heard.
	Networks []netip.Prefix
	// Timeout is for how long the first list waits for answers.
	Timeout time.Duration
}

// text is the YAML mapping.
type text struct {
	Types                   []string               `json:"types"`
	Instances               *filterText            `json:"instances"`
	Hosts                   *filterText            `json:"hosts"`
	TXT                     map[string]*filterText `json:"txt"`
	TXTProperties           *filterText            `json:"txtProperties"`
	IdentityKey             string                 `json:"identityKey"`
	Interfaces              *[]string              `json:"interfaces"`
	Networks                []string               `json:"networks"`
	DiscoveryTimeoutSeconds *int64                 `json:"discoveryTimeoutSeconds"`
}

// Parse parses discoveryDetails, a YAML mapping with at least types. Errors name
// the key at problem.
func Parse(s string) (Details, error) {
	d := Details{Timeout: DefaultTimeout}
	if len(s) > maxLength {
		return d, fmt.Errorf("%d bytes, at most %d are allowed", len(s), maxLength)
	}
	var t text
	if err := yaml.UnmarshalStrict([]byte(s), &t); err != nil {
		return d, fields.Explain(err, keys)
	}
	if err := d.types(t.Types); err != nil {
		return d, fmt.Errorf("types%w", err)
	}
	if err := d.filters(t); err != nil {
		return d, err
	}
	if t.IdentityKey != "" {
		if err := checkKey(t.IdentityKey); err != nil {
			return d, fmt.Errorf("identityKey: %w", err)
		}
		d.IdentityKey = strings.ToLower(t.IdentityKey)
	}
	if n := t.DiscoveryTimeoutSeconds; n != nil {
		if *n < 1 || *n > maxTimeout {
			return d, fmt.Errorf("discoveryTimeoutSeconds: %d, want 1 to %d", *n, maxTimeout)
		}
		d.Timeout = time.Duration(*n) * time.Second
	}
	return d, d.where(t)
}

func (d *Details) types(texts []string) error {
	if len(texts) == 0 {
		return errors.New(": lists no service type: name some, such as _ipp._tcp " +
			"(avahi-browse --all shows what there is)")
	}
	if len(texts) > maxTypes {
		return fmt.Errorf(": %d, at most %d are allowed", len(texts), maxTypes)
	}
	for i, s := range texts {
		t, err := parseType(s)
		if err != nil {
			return fmt.Errorf("[%d]: %.64q %w", i, s, err)
		}
		if !slices.Contains(d.Types, t) {
			d.Types = append(d.Types, t)
		}
	}
	return nil
}

func (d *Details) filters(t text) (err error) {
	for _, f := range []struct {
		key  string
		from *filterText
		to   *Filter
	}{{"instances", t.Instances, &d.Instances}, {"hosts", t.Hosts, &d.Hosts}, {"txtProperties", t.TXTProperties, &d.TXTProperties}} {
		if *f.to, err = f.from.filter(); err != nil {
			return fmt.Errorf("%s: %w", f.key, err)
		}
	}
	if len(t.TXT) > maxKeys {
		return fmt.Errorf("txt: %d keys, at most %d are allowed", len(t.TXT), maxKeys)
	}
	d.TXT = make(map[string]Filter, len(t.TXT))
	for key, from := range t.TXT {
		if err := checkKey(key); err != nil {
			return fmt.Errorf("txt: %.64q: %w", key, err)
		}
		lower := strings.ToLower(key)
		if _, twice := d.TXT[lower]; twice {
			return fmt.Errorf("txt: %q is there twice: upper and lower case are the same in keys", key)
		}
		if d.TXT[lower], err = from.filter(); err != nil {
			return fmt.Errorf("txt: %s: %w", key, err)
		}
	}
	return nil
}

// where reads where to look.
func (d *Details) where(t text) error {
	if t.Interfaces != nil {
		d.Interfaces = append([]string{}, *t.Interfaces...)
	}
	for key, list := range map[string][]string{"interfaces": d.Interfaces, "networks": t.Networks} {
		if len(list) > maxItems {
			return fmt.Errorf("%s: %d, at most %d are allowed", key, len(list), maxItems)
		}
	}
	for i, name := range d.Interfaces {
		if _, err := path.Match(name, ""); err != nil || name == "" || strings.ContainsAny(name, "/ \t\n") {
			return fmt.Errorf("interfaces[%d]: %.64q is neither the name of a network interface nor a pattern such as eth*",
				i, name)
		}
	}
	for i, s := range t.Networks {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() || p.Addr().IsMulticast() {
			return fmt.Errorf("networks[%d]: %.64q is not a network of devices, such as 10.20.0.0/24", i, s)
		}
		d.Networks = append(d.Networks, p.Masked())
	}
	return nil
}

// Check tells whether discoveryDetails can be used. Warnings say what will find
// nothing.
func Check(s string) (warnings []string, err error) {
	d, err := Parse(s)
	if err != nil {
		return nil, err
	}
	filters := map[string]Filter{"instances": d.Instances, "hosts": d.Hosts}
	for key, f := range d.TXT {
		filters["txt: "+key] = f
	}
	for key, f := range filters {
		if f.Action == Include && len(f.Items) == 0 {
			warnings = append(warnings, key+": Include without items leaves no device")
		}
	}
	for i, item := range d.Hosts.Items {
		if strings.ContainsAny(strings.TrimSuffix(item, ".local"), ".") && !strings.Contains(item, "*") {
			warnings = append(warnings, fmt.Sprintf(
				"hosts.items[%d]: %q matches no host: want a name such as printer or printer.local", i, item))
		}
	}
	for _, t := range d.Types {
		if name := serviceOf(t); len(name) > maxRFCBytes {
			warnings = append(warnings, fmt.Sprintf("types: %s: %s has more than %d characters: is it spelled right?",
				t, name, maxRFCBytes))
		}
	}
	if d.Interfaces != nil && len(d.Interfaces) == 0 {
		warnings = append(warnings, "interfaces: none, so no device is looked for")
	}
	slices.Sort(warnings)
	return warnings, nil
}
