package board

import (
	"regexp"
	"slices"
	"time"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/shorten"
)

// Limits of details.
const (
	maxOwnEvents     = 20
	maxProperties    = 60
	maxPropertyBytes = 300
)

// Details are what is known of one thing.
type Details struct {
	explain.Answer
	// Events are about it, the last first.
	Events []Event `json:"events,omitempty"`
	// ID, Properties and Created are of a device. Properties that look like
	// passwords have no value.
	ID         string     `json:"id,omitempty"`
	Properties []Property `json:"properties,omitempty"`
	Created    *time.Time `json:"created,omitempty"`
}

// Property is what a handler says of a device; its brokers have it as an
// environment variable.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Hidden means that the value is not shown.
	Hidden bool `json:"hidden,omitempty"`
}

// secret finds names of properties whose values are not shown.
var secret = regexp.MustCompile(`(?i)passw|secret|token|credential|private|api_?key`)

// Explain returns the details of a subject. The error is that of
// [explain.Explained.Of].
func Explain(c explain.Cluster, found explain.Explained, s explain.Subject) (Details, error) {
	answer, err := found.Of(s)
	if err != nil {
		return Details{}, err
	}
	d := Details{Answer: answer}
	about := *answer.Subject
	for _, e := range c.Events {
		if event := entryOf(e); event.About == about {
			d.Events = append(d.Events, event)
		}
	}
	slices.SortStableFunc(d.Events, func(a, b Event) int { return b.At.Compare(a.At) })
	d.Events = d.Events[:min(len(d.Events), maxOwnEvents)]
	if about.Kind == explain.Device {
		for i := range c.Instances {
			if inst := &c.Instances[i]; subject(explain.Device, inst) == about {
				d.device(inst)
			}
		}
	}
	return d, nil
}

func (d *Details) device(inst *v0.Instance) {
	d.ID = shorten.ToEnd(inst.Annotations[v0.AnnotationDeviceID], maxPropertyBytes)
	created := inst.CreationTimestamp.UTC()
	d.Created = &created
	for name, value := range inst.Spec.BrokerProperties {
		p := Property{Name: shorten.Text(name, maxLabelBytes), Value: shorten.Text(value, maxPropertyBytes)}
		if secret.MatchString(name) {
			p.Value, p.Hidden = "", true
		}
		d.Properties = append(d.Properties, p)
	}
	slices.SortFunc(d.Properties, func(a, b Property) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	d.Properties = d.Properties[:min(len(d.Properties), maxProperties)]
}
