// Package details reads what a Configuration asks the handler opcua: its
// discoveryDetails.
package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

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

// Details is what the discoveryDetails of a Configuration say.
type Details struct {
	// URLs are the servers and discovery servers that are asked, each once.
	URLs []URL
	// Names, URIs and ProductURIs choose among the applications that they know.
	Names, URIs, ProductURIs Filter
	// Interval is how often each URL is asked while something changes.
	Interval time.Duration
}

// Filter chooses by a text. The zero value lets everything pass.
type Filter struct {
	// Exclude lets pass what is not in Items, otherwise what is.
	Exclude bool
	Items   []string
	given   bool
}

// Passes tells whether a text is let pass. Upper and lower case differ.
func (f Filter) Passes(text string) bool {
	return !f.given || slices.Contains(f.Items, text) != f.Exclude
}

// Nothing tells whether nothing at all passes.
func (f Filter) Nothing() bool { return f.given && !f.Exclude && len(f.Items) == 0 }

const (
	// DefaultURL is asked if no URL is given, as by upstream's handler.
	DefaultURL = "opc.tcp://localhost:4840/"
	// MaxURLs is how many URLs a Configuration may have.
	MaxURLs = 64

	maxDetails  = 256 << 10 // bytes
	maxItems    = 1000      // of a filter
	maxItem     = 4096      // bytes
	minInterval = time.Second
	maxInterval = 24 * time.Hour
)

// Parse parses discoveryDetails, a YAML mapping with the keys opcuaDiscoveryMethod
// (standard.discoveryUrls: a list of URLs; [DefaultURL] without it),
// applicationNames, applicationUris and productUris (each with action, Include or
// Exclude, and items, a list of texts) and interval (a duration such as "30s").
// discoveryUrls may stand beside the others too: upstream's chart has it there in
// its values. Errors name the key at fault.
func Parse(text string) (Details, error) {
	d := Details{Interval: schedule.DefaultInterval}
	if len(text) > maxDetails {
		return d, fmt.Errorf("longer than %d bytes", maxDetails)
	}
	j, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return d, err
	}
	fields, err := mapping(j)
	if err != nil {
		return d, err
	}
	var method, direct []string
	for key, value := range fields {
		var err error
		switch key {
		case "opcuaDiscoveryMethod":
			method, err = parseMethod(value)
		case "discoveryUrls":
			direct, err = parseTexts(value, MaxURLs)
		case "applicationNames":
			d.Names, err = parseFilter(value)
		case "applicationUris":
			d.URIs, err = parseFilter(value)
		case "productUris":
			d.ProductURIs, err = parseFilter(value)
		case "interval":
			d.Interval, err = parseInterval(value)
		default:
			err = errors.New("unknown key: the keys are opcuaDiscoveryMethod, discoveryUrls, applicationNames, " +
				"applicationUris, productUris and interval")
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", key, err)
		}
	}
	_, hasMethod := fields["opcuaDiscoveryMethod"]
	_, hasDirect := fields["discoveryUrls"]
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
		filter Filter
	}{{"applicationNames", d.Names}, {"applicationUris", d.URIs}, {"productUris", d.ProductURIs}} {
		if f.filter.Nothing() {
			warnings = append(warnings, f.key+": includes nothing, so no server is found: leave it out, or name some")
		}
	}
	return warnings, nil
}

func mapping(j json.RawMessage) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(j, &fields) != nil {
		return nil, errors.New("not a mapping of keys to values")
	}
	return fields, nil
}

// only refuses all keys but those given.
func only(j json.RawMessage, keys ...string) (map[string]json.RawMessage, error) {
	fields, err := mapping(j)
	for key := range fields {
		if !slices.Contains(keys, key) {
			return nil, fmt.Errorf("unknown key %q: there is only %q", key, keys)
		}
	}
	return fields, err
}

func parseMethod(j json.RawMessage) (urls []string, err error) {
	fields, err := only(j, "standard")
	if err != nil {
		return nil, err
	}
	standard, ok := fields["standard"]
	if !ok {
		return nil, errors.New("standard is missing, the only method that there is")
	}
	fields, err = only(standard, "discoveryUrls")
	if err != nil {
		return nil, fmt.Errorf("standard: %w", err)
	}
	value, ok := fields["discoveryUrls"]
	if !ok {
		return []string{DefaultURL}, nil
	}
	urls, err = parseTexts(value, MaxURLs)
	if err != nil {
		return nil, fmt.Errorf("standard: discoveryUrls: %w", err)
	}
	return urls, nil
}

func parseTexts(j json.RawMessage, most int) (texts []string, err error) {
	if json.Unmarshal(j, &texts) != nil {
		return nil, errors.New("not a list of texts")
	}
	if len(texts) > most {
		return nil, fmt.Errorf("has %d entries, at most %d are allowed", len(texts), most)
	}
	return texts, nil
}

func parseFilter(j json.RawMessage) (Filter, error) {
	if string(j) == "null" {
		return Filter{}, nil
	}
	f := Filter{given: true}
	fields, err := only(j, "action", "items")
	if err != nil {
		return f, err
	}
	if value, ok := fields["action"]; ok {
		switch string(value) {
		case `"Include"`:
		case `"Exclude"`:
			f.Exclude = true
		default:
			return f, fmt.Errorf("action: must be Include or Exclude")
		}
	}
	value, ok := fields["items"]
	if !ok {
		return f, errors.New("items is missing: a list of texts")
	}
	if f.Items, err = parseTexts(value, maxItems); err != nil {
		return f, fmt.Errorf("items: %w", err)
	}
	for i, item := range f.Items {
		if len(item) > maxItem {
			return f, fmt.Errorf("items[%d]: %d bytes, at most %d are allowed", i, len(item), maxItem)
		}
	}
	return f, nil
}

func parseInterval(j json.RawMessage) (time.Duration, error) {
	var text string
	if json.Unmarshal(j, &text) != nil {
		return 0, errors.New("not a duration such as 30s")
	}
	if text == "" {
		return schedule.DefaultInterval, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minInterval || d > maxInterval {
		return 0, fmt.Errorf("%.32q is not a duration from %s to %s, such as 30s", text, minInterval, maxInterval)
	}
	return d, nil
}
