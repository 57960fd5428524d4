package mqtt

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/mqtt/announced"
	"github.com/akri-go/akri/internal/handlers/mqtt/details"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	// maxDevices is how many devices a Configuration has at most, and maxBytes how
	// much all their properties take.
	maxDevices       = 1000
	maxBytes         = 2 << 20
	maxNoteBytes     = 512     // bytes; agents show no more
	maxConfigTopics  = 4 << 10 // bytes, of Home Assistant's topics of a device
	maxShownTopic    = 100     // bytes
	maxShownRefusals = 2
)

// Plan returns what there is to report, given the devices that have announced
// themselves, how things stand with the broker, the messages that were not taken,
// and the topic filters that the broker does not allow.
func Plan(d details.Details, heard []announced.Device, s standing, problems map[announced.Why]string,
	refused map[string]string,
) discovery.Report {
	var (
		r                    discovery.Report
		notes                []string
		size, over, filtered int
	)
	if s.problem != "" {
		notes = append(notes, s.problem)
		if len(heard) > 0 {
			notes = append(notes, fmt.Sprintf("devices stay for %s", s.grace))
		}
	}
	for _, v := range heard {
		if !d.IDs.Passes(v.Own) || !d.Names.Passes(v.Name) || !d.Manufacturers.Passes(v.Manufacturer) || !d.Models.Passes(v.Model) {
			filtered++
			continue
		}
		device := deviceOf(d, v)
		if size += bytesOf(device); len(r.Devices) == maxDevices || size > maxBytes {
			over++
			continue
		}
		r.Devices = append(r.Devices, device)
	}
	if over > 0 {
		notes = append(notes, fmt.Sprintf("%d devices are left out: there are more than %d, or their texts are too long; "+
			"use filters, or narrower topics", over, maxDevices))
	}
	if filtered > 0 && len(r.Devices) == 0 {
		notes = append(notes, fmt.Sprintf("no device passes the filters of discoveryDetails (of %d that are there)", filtered))
	}
	for i, filter := range slices.Sorted(maps.Keys(refused)) {
		if i == maxShownRefusals {
			notes = append(notes, fmt.Sprintf("and %d topics more", len(refused)-i))
			break
		}
		notes = append(notes, fmt.Sprintf("subscribing to %s: %s", shorten.Text(filter, maxShownTopic), refused[filter]))
	}
	for _, why := range announced.Reasons() {
		if topic, there := problems[why]; there {
			notes = append(notes, leftOut(why, topic))
		}
	}
	r.Note = shorten.Text(strings.Join(notes, "; "), maxNoteBytes)
	return r
}

// leftOut says why a message was not taken.
func leftOut(why announced.Why, topic string) string {
	switch why {
	case announced.Large:
		topic = strings.TrimPrefix(topic+": ", ": ")
		return shorten.Text(topic, maxShownTopic) + "messages, or their topics, that are too large are left out"
	case announced.Malformed:
		return shorten.Text(topic, maxShownTopic) + ": what is announced there is not what the convention says"
	case announced.Deviceless:
		return shorten.Text(topic, maxShownTopic) + ": what is announced there names no device, and is left out"
	case announced.Full:
		return "some devices are left out, from " + shorten.Text(topic, maxShownTopic) + " on: there is no more room; " +
			"use narrower topics, or several Configurations"
	}
	return ""
}

// deviceOf returns the device as it is reported.
func deviceOf(d details.Details, v announced.Device) discovery.Device {
	properties := map[string]string{}
	for name, value := range map[string]string{
		details.PropertyBroker: d.Broker.String(), details.PropertyConvention: v.Convention, details.PropertyDevice: v.Own,
		details.PropertyTopic: v.Topic, details.PropertyConfigTopics: joined(v.ConfigTopics),
		details.PropertyName: v.Name, details.PropertyManufacturer: v.Manufacturer, details.PropertyModel: v.Model,
		details.PropertyFirmware: v.Firmware, details.PropertyHardware: v.Hardware, details.PropertySerial: v.Serial,
		details.PropertyLocation: v.Location,
	} {
		if value != "" {
			properties[name] = value
		}
	}
	return discovery.Device{ID: v.ID, Properties: properties}
}

// joined returns topics, as many as there is room for.
func joined(topics []string) string {
	n := 0
	for i, t := range topics {
		if n += len(t) + 1; n > maxConfigTopics {
			topics = topics[:i]
			break
		}
	}
	return strings.Join(topics, ",")
}

func bytesOf(d discovery.Device) int {
	n := len(d.ID)
	for name, value := range d.Properties {
		n += len(name) + len(value)
	}
	return n
}
