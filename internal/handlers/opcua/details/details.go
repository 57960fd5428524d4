// Package details reads what a Configuration asks the handler opcua: its
// discoveryDetails.
package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/fields"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

// What people read of the handler.
const (
	// Name is what Configurations ask for.
	Name = "opcua"
	// Summary says in one line what the handler finds.
	Summary = "OPC UA servers, by asking them or discovery servers"
	// About says what the handler needs and does.
	About = `Needs the discovery URLs of servers, or of discovery servers that know them,
and a way to them over TCP. Asks without a certificate, again and again.`
)

// The properties of a device.
const (
	PropertyURL      = "OPCUA_DISCOVERY_URL" // upstream's
	PropertyURI      = "OPCUA_APPLICATION_URI"
	PropertyName     = "OPCUA_APPLICATION_NAME"
	PropertyProduct  = "OPCUA_PRODUCT_URI"
	PropertyPolicies = "OPCUA_SECURITY_POLICIES"
	PropertyModes    = "OPCUA_SECURITY_MODES"
)

// Details is what the discoveryDetails of a Configuration say.
type Details struct {
	// URLs are the servers and discovery servers that are asked, each once.
	URLs []URL
	// Names, URIs and ProductURIs choose among the applications that they know.
	Names, URIs, ProductURIs fields.Filter
	// Interval is how often each URL is asked while something changes.
	Interval time.Duration
}

const (
	// DefaultURL is asked if no URL is given, as by upstream's handler.
	DefaultURL = "opc.tcp://localhost:4840/"
	// MaxURLs is how many URLs a Configuration may have.
	MaxURLs = 64
)

// Parse parses discoveryDetails, a YAML mapping with the keys opcuaDiscoveryMethod
// (standard.discoveryUrls: a list of URLs; [DefaultURL] without it),
// applicationNames, applicationUris and productUris (each with action, Include or
// Exclude, and items, a list of texts) and interval (a duration such as "30s").
// discoveryUrls may stand beside the others too: upstream's chart has it there in
// its values. Errors name the key at fault.
func Parse(text string) (Details, error) {
	d := Details{Interval: schedule.DefaultInterval}
	given, err := fields.Parse(text)
	if err != nil {
		return d, err
	}
	var method, direct []string
	for key, value := range given {
		var err error
		switch key {
		case "opcuaDiscoveryMethod":
			method, err = parseMethod(value)
		case "discoveryUrls":
			direct, err = fields.Texts(value, MaxURLs)
		case "applicationNames":
			d.Names, err = fields.ParseFilter(value)
		case "applicationUris":
			d.URIs, err = fields.ParseFilter(value)
		case "productUris":
			d.ProductURIs, err = fields.ParseFilter(value)
		case "interval":
			d.Interval, err = fields.Interval(value)
		default:
			err = errors.New("unknown key: the keys are opcuaDiscoveryMethod, discoveryUrls, applicationNames, " +
				"applicationUris, productUris and interval")
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", key, err)
		}
	}
	_, hasMethod := given["opcuaDiscoveryMethod"]
	_, hasDirect := given["discoveryUrls"]
	switch {
	case hasMethod && hasDirect:
		return d, errors.New("discoveryUrls: they are given in opcuaDiscoveryMethod already: choose one place")
	case hasDirect:
		method = direct
	case !hasMethod:
		method = []string{DefaultURL}
	}
	if len(method) == 0 {
		return d, errors.New("discoveryUrls: lists no URL: name servers or discovery servers, such as " + DefaultURL)
	}
	return d, d.addURLs(method)
}

func (d *Details) addURLs(texts []string) error {
	for i, text := range texts {
		u, err := ParseURL(text)
		if err != nil {
			return fmt.Errorf("discoveryUrls[%d]: %w", i, err)
		}
		if !slices.ContainsFunc(d.URLs, func(other URL) bool { return other.Key() == u.Key() }) {
			d.URLs = append(d.URLs, u)
		}
	}
	return nil
}

// Check tells whether discoveryDetails can be used. Warnings say where nothing
// will be found, or something else than is meant.
func Check(text string) (warnings []string, err error) {
	d, err := Parse(text)
	if err != nil {
		return nil, err
	}
	for _, u := range d.URLs {
		if u.Host == "localhost" {
			warnings = append(warnings, fmt.Sprintf("discoveryUrls: %s: for the handler in a cluster "+
				"localhost is its own Pod, or its node with opcua.discovery.hostNetwork", u))
		}
	}
	for _, f := range []struct {
		key    string
		filter fields.Filter
	}{{"applicationNames", d.Names}, {"applicationUris", d.URIs}, {"productUris", d.ProductURIs}} {
		if f.filter.Nothing() {
			warnings = append(warnings, f.key+": includes nothing, so no server is found: leave it out, or name some")
		}
	}
	return warnings, nil
}

func parseMethod(j json.RawMessage) (urls []string, err error) {
	method, err := fields.Only(j, "standard")
	if err != nil {
		return nil, err
	}
	standard, ok := method["standard"]
	if !ok {
		return nil, errors.New("standard is missing, the only method that there is")
	}
	method, err = fields.Only(standard, "discoveryUrls")
	if err != nil {
		return nil, fmt.Errorf("standard: %w", err)
	}
	value, ok := method["discoveryUrls"]
	if !ok {
		return []string{DefaultURL}, nil
	}
	urls, err = fields.Texts(value, MaxURLs)
	if err != nil {
		return nil, fmt.Errorf("standard: discoveryUrls: %w", err)
	}
	return urls, nil
}
