package kubeclient

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Event is an events.k8s.io/v1 Event, as far as the agent writes it. The type of
// k8s.io/api would link the whole core API.
type Event struct {
	metav1.TypeMeta     `json:",inline"`
	Metadata            EventMeta        `json:"metadata"`
	EventTime           metav1.MicroTime `json:"eventTime"`
	ReportingController string           `json:"reportingController"`
	ReportingInstance   string           `json:"reportingInstance"`
	Action              string           `json:"action"`
	Reason              string           `json:"reason"`
	Regarding           EventRegarding   `json:"regarding"`
	Note                string           `json:"note"`
	Type                string           `json:"type"`
}

// EventMeta names an Event.
type EventMeta struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// EventRegarding is the object that an Event is about.
type EventRegarding struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
}

// CreateEvent writes an Event.
func (c *Client) CreateEvent(ctx context.Context, e Event) error {
	ctx, cancel := withTimeout(ctx, RequestTimeout)
	defer cancel()
	e.APIVersion, e.Kind = "events.k8s.io/v1", "Event"
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return c.rest.Post().
		AbsPath("/apis/events.k8s.io/v1/namespaces", e.Metadata.Namespace, "events").
		SetHeader("Content-Type", "application/json").
		Body(body).Do(ctx).Error()
}
