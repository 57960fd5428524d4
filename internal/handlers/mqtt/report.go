package mqtt

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/fit"
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

// situation is what a report is made of.
type situation struct {
	details  details.Details
	heard    []announced.Device // that have announced themselves
	standing standing
	problems map[announced.Why]string // with messages that were not taken, by topic
	refused  map[string]string        // topic filters that the broker does not allow, and why
	before   []discovery.Device       // of the report before this one
}

// Plan returns what there is to report.
func Plan(s situation) discovery.Report {
	var notes []string
	if s.standing.problem != "" {
		notes = append(notes, s.standing.problem)
		if len(s.heard) > 0 {
			notes = append(notes, fmt.Sprintf("devices stay for %s", s.standing.grace))
		}
	}
	wanted := s.wanted()
	// Whoever can announce devices must not be able to push others out.
	devices, over := fit.Number(wanted, s.before, maxDevices)
	devices, large := fit.Devices(devices, maxBytes)
	if over += large; over > 0 {
		notes = append(notes, fmt.Sprintf("%d devices are left out: there are more than %d, or their texts are too long; "+
			"use filters, or narrower topics", over, maxDevices))
	}
	if len(s.heard) > 0 && len(wanted) == 0 {
		notes = append(notes, fmt.Sprintf("no device passes the filters of discoveryDetails (of %d that are there)",
			len(s.heard)))
	}
	for i, filter := range slices.Sorted(maps.Keys(s.refused)) {
		if i == maxShownRefusals {
			notes = append(notes, fmt.Sprintf("and %d topics more", len(s.refused)-i))
			break
		}
		notes = append(notes, fmt.Sprintf("subscribing to %s: %s", shorten.Text(filter, maxShownTopic), s.refused[filter]))
	}
	for _, why := range announced.Reasons() {
		if topic, there := s.problems[why]; there {
			notes = append(notes, leftOut(why, topic))
		}
	}
	return discovery.Report{Devices: devices, Note: shorten.Text(strings.Join(notes, "; "), maxNoteBytes)}
}

// wanted returns the devices that pass the filters.
func (s situation) wanted() (all []discovery.Device) {
	d := s.details
	for _, v := range s.heard {
		if d.IDs.Passes(v.Own) && d.Names.Passes(v.Name) && d.Manufacturers.Passes(v.Manufacturer) &&
			d.Models.Passes(v.Model) {
			all = append(all, deviceOf(d, v))
		}
	}
	return all
}

// leftOut says why a message was not taken.
func leftOut(why announced.Why, topic string) string {
	switch why {
	case announced.Large:
		topic = strings.TrimPrefix(topic+": ", ": ")
		return shorten.Text(topic, maxShownTopic) + "messages, or their topics, that are too large are left out"
	case announced.Malformed:
		return shorten.Text(topic, maxShownTopic) +
			": what is announced there is not what the convention says: mosquitto_sub shows it"
	case announced.Deviceless:
		return shorten.Text(topic, maxShownTopic) + ": what is announced there names no device, and is left out"
	case announced.Convention:
		return shorten.Text(topic, maxShownTopic) +
			": a device of another convention of Homie than 3, 4 and 5 is left out"
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
		details.PropertyBroker: d.Broker.String(), details.PropertyConvention: v.Convention,
		details.PropertyDevice: v.Own, details.PropertyTopic: v.Topic, details.PropertyConfigTopics: joined(v.ConfigTopics),
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
