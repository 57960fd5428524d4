// Package details reads what a Configuration asks the handler mqtt: its
// discoveryDetails.
package details

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/handlers/fields"
)

// What people read of the handler.
const (
	// Name is what Configurations ask for.
	Name = "mqtt"
	// Summary says in one line what the handler finds.
	Summary = "devices that announce themselves on an MQTT broker"
	// About says what the handler needs and does.
	About = `Needs the URL of a broker, and the right to subscribe there. Hears what
devices announce by Homie, by Home Assistant's discovery or by a topic of
each, and publishes nothing.`
)

// The properties of a device. None has a reading or a state: they would change
// all the time.
const (
	PropertyBroker       = "MQTT_BROKER_URL"
	PropertyConvention   = "MQTT_CONVENTION"
	PropertyTopic        = "MQTT_TOPIC"            // of Homie and of patterns
	PropertyConfigTopics = "MQTT_DISCOVERY_TOPICS" // of Home Assistant
	PropertyDevice       = "MQTT_DEVICE_ID"
	PropertyName         = "MQTT_DEVICE_NAME"
	PropertyManufacturer = "MQTT_DEVICE_MANUFACTURER"
	PropertyModel        = "MQTT_DEVICE_MODEL"
	PropertyFirmware     = "MQTT_DEVICE_FIRMWARE_VERSION"
	PropertyHardware     = "MQTT_DEVICE_HARDWARE_VERSION"
	PropertySerial       = "MQTT_DEVICE_SERIAL_NUMBER"
	PropertyLocation     = "MQTT_DEVICE_LOCATION"
)

// The values of [PropertyConvention].
const (
	Homie4        = "homie4" // and 3, which announces the same
	Homie5        = "homie5"
	HomeAssistant = "homeassistant"
	Topic         = "topic"
)

const (
	// DefaultDomain is the first level of Homie's topics.
	DefaultDomain = "homie"
	// DefaultPrefix is that of Home Assistant's discovery topics.
	DefaultPrefix = "homeassistant"
	// DefaultLostAfter is for how long a device that a pattern has found may be
	// silent.
	DefaultLostAfter = 10 * time.Minute
	// DefaultGrace is for how long devices stay while the broker is away.
	DefaultGrace = 2 * time.Minute
	// MaxPatterns is how many patterns a Configuration may have, and MaxDomains how
	// many domains of Homie.
	MaxPatterns = 64
	MaxDomains  = 16

	minLostAfter, maxLostAfter = time.Second, 30 * 24 * time.Hour
	minGrace, maxGrace         = time.Second, 24 * time.Hour
)

// Details is what the discoveryDetails of a Configuration say.
type Details struct {
	// Broker is where the devices announce themselves.
	Broker URL
	// Domains are the first levels of Homie's topics; none if Homie is not asked
	// for. Prefix is that of Home Assistant's topics; "" if that is not asked for.
	Domains []string
	Prefix  string
	// Patterns are topics of which each stands for a device.
	Patterns []Pattern
	// IDs, Names, Manufacturers and Models choose among the devices.
	IDs, Names, Manufacturers, Models fields.Filter
	// Grace is for how long devices stay while the broker is away.
	Grace time.Duration
	// SkipTLSVerify takes any certificate of the broker.
	SkipTLSVerify bool
}

// Parse parses discoveryDetails, a YAML mapping with the keys broker (a URL),
// homie (with domains, a list of topic levels), homeAssistant (with prefix, a
// topic), topics (a list of pattern and lostAfter), ids, names, manufacturers and
// models (each with action, Include or Exclude, and items, a list of texts),
// brokerGracePeriod (a duration) and insecureSkipTLSVerify. Errors name the key at
// fault.
func Parse(text string) (Details, error) {
	d := Details{Grace: DefaultGrace}
	all, err := fields.Parse(text)
	if err != nil {
		return d, err
	}
	for key, value := range all {
		if err := d.set(key, value); err != nil {
			return d, fmt.Errorf("%s: %w", key, err)
		}
	}
	switch {
	case d.Broker == URL{}:
		return d, errors.New("broker: is missing: give the URL of a broker, such as mqtts://broker.example:8883")
	case len(d.Domains) == 0 && d.Prefix == "" && len(d.Patterns) == 0:
		return d, errors.New("says nothing to look for: give homie: {}, homeAssistant: {} or topics")
	case d.SkipTLSVerify && !d.Broker.TLS:
		return d, fmt.Errorf("insecureSkipTLSVerify: %s has no TLS: leave it out, "+
			"or give a URL that begins with mqtts://", d.Broker)
	}
	return d, nil
}

// set sets what a key stands for.
func (d *Details) set(key string, value json.RawMessage) (err error) {
	switch key {
	case "broker":
		var text string
		if json.Unmarshal(value, &text) != nil {
			return errors.New("not a URL such as mqtts://broker.example:8883")
		}
		d.Broker, err = ParseURL(text)
	case "homie":
		d.Domains, err = parseHomie(value)
	case "homeAssistant":
		d.Prefix, err = parseHomeAssistant(value)
	case "topics":
		d.Patterns, err = parsePatterns(value)
	case "ids":
		d.IDs, err = fields.ParseFilter(value)
	case "names":
		d.Names, err = fields.ParseFilter(value)
	case "manufacturers":
		d.Manufacturers, err = fields.ParseFilter(value)
	case "models":
		d.Models, err = fields.ParseFilter(value)
	case "brokerGracePeriod":
		if string(value) != `""` && string(value) != "null" {
			d.Grace, err = fields.Duration(value, minGrace, maxGrace, "2m")
		}
	case "insecureSkipTLSVerify":
		if json.Unmarshal(value, &d.SkipTLSVerify) != nil {
			err = errors.New("want true or false")
		}
	case "username", "password", "ca_certificates", "client_certificate", "client_key":
		err = errors.New("does not belong here: give it in discoveryProperties")
	default:
		err = errors.New("unknown key: the keys are broker, homie, homeAssistant, topics, ids, names, manufacturers, " +
			"models, brokerGracePeriod and insecureSkipTLSVerify")
	}
	return err
}

// Check tells whether discoveryDetails can be used. Warnings say where nothing
// will be found, or something else than is meant.
func Check(text string) (warnings []string, err error) {
	d, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if d.Broker.Local() {
		warnings = append(warnings, fmt.Sprintf("broker: %s: for the handler in a cluster this is its own Pod, "+
			"or its node with mqtt.discovery.hostNetwork", d.Broker))
	}
	if d.SkipTLSVerify {
		warnings = append(warnings, "insecureSkipTLSVerify: whoever is on the way to the broker can read "+
			"the password, and announce devices: give ca_certificates in discoveryProperties instead")
	}
	for _, f := range []struct {
		key    string
		filter fields.Filter
	}{{"ids", d.IDs}, {"names", d.Names}, {"manufacturers", d.Manufacturers}, {"models", d.Models}} {
		if f.filter.Nothing() {
			warnings = append(warnings, f.key+": includes nothing, so no device is found: leave it out, or name some")
		}
	}
	return warnings, nil
}

// parseHomie returns the domains. Without any value it is the default's.
func parseHomie(value json.RawMessage) ([]string, error) {
	keys, err := keysOf(value, "domains")
	if err != nil {
		return nil, err
	}
	list, ok := keys["domains"]
	if !ok {
		return []string{DefaultDomain}, nil
	}
	domains, err := fields.Texts(list, MaxDomains)
	if err != nil {
		return nil, fmt.Errorf("domains: %w", err)
	}
	for i, domain := range domains {
		if err := checkTopic(domain); err != nil {
			return nil, fmt.Errorf("domains[%d]: %w", i, err)
		}
	}
	if len(domains) == 0 {
		return nil, fmt.Errorf("domains: lists none: leave it out for %s, or name some", DefaultDomain)
	}
	slices.Sort(domains)
	return slices.Compact(domains), nil
}

// parseHomeAssistant returns the prefix.
func parseHomeAssistant(value json.RawMessage) (string, error) {
	keys, err := keysOf(value, "prefix")
	if err != nil {
		return "", err
	}
	prefix := DefaultPrefix
	if value, ok := keys["prefix"]; ok {
		if json.Unmarshal(value, &prefix) != nil {
			return "", fmt.Errorf("prefix: not a topic such as %s", DefaultPrefix)
		}
		if err := checkTopic(prefix); err != nil {
			return "", fmt.Errorf("prefix: %w", err)
		}
	}
	return prefix, nil
}

// keysOf returns the keys of a mapping; there are none in a value that is not
// written, as in "homie:".
func keysOf(value json.RawMessage, key string) (map[string]json.RawMessage, error) {
	if string(value) == "null" {
		return nil, nil
	}
	keys, err := fields.Only(value, key)
	if err != nil {
		return nil, fmt.Errorf("%w; write {} for the defaults", err)
	}
	return keys, nil
}
