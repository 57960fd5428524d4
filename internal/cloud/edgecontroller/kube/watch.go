package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxEventBytes bounds one event of a watch. An object of etcd has less than 2
// MiB by default.
const maxEventBytes = 16 << 20

// Resource is a kind of objects, in one namespace or in all.
type Resource struct {
	Group, Version, Resource string
	Namespace                string
}

// Path is where the resource is listed.
func (r Resource) Path() string {
	base := "/apis/" + r.Group + "/" + r.Version
	if r.Group == "" {
		base = "/api/" + r.Version
	}
	if r.Namespace != "" {
		base += "/namespaces/" + r.Namespace
	}
	return base + "/" + r.Resource
}

// Watch says what is watched and from where on.
type Watch struct {
	Resource
	Fields, Labels string // selectors
	// Version is where the watch begins, exclusive. Empty: it begins with all
	// objects, as ADDED, and a BOOKMARK after them (a WatchList, KEP-3157).
	Version string
	// NotOlderThan is the least version of the list with which a watch without
	// Version begins. Empty: the newest.
	NotOlderThan string
	Timeout      time.Duration // after which the server ends the watch; 0: its own
}

func (w Watch) query() string {
	q := url.Values{"watch": {"true"}, "allowWatchBookmarks": {"true"}}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("fieldSelector", w.Fields)
	set("labelSelector", w.Labels)
	if w.Timeout > 0 {
		q.Set("timeoutSeconds", strconv.Itoa(int(w.Timeout.Seconds())))
	}
	if w.Version != "" {
		q.Set("resourceVersion", w.Version)
	} else {
		q.Set("sendInitialEvents", "true")
		q.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan))
		set("resourceVersion", w.NotOlderThan)
	}
	return q.Encode()
}

// Event is one event of a watch.
type Event struct {
	Type   string          `json:"type"` // ADDED, MODIFIED, DELETED, BOOKMARK
	Object json.RawMessage `json:"object"`
}

// Watch watches until the server ends it, ctx is done or each returns an error.
// It calls opened when the server has accepted the watch, and each with the
// events, one after another. The error is nil if the server ended the watch in
// good order; what the server says of a watch that it cannot begin or go on with
// is an error of k8s.io/apimachinery/pkg/api/errors.
func (c *Client) Watch(ctx context.Context, as User, w Watch, opened func(), each func(Event) error) error {
	resp, err := c.Open(ctx, as, Request{Method: http.MethodGet, Path: w.Path(), Query: w.query()})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := Failure(resp); err != nil {
		return err
	}
	opened()
	limited := &io.LimitedReader{R: resp.Body}
	d := json.NewDecoder(limited)
	for {
		limited.N = maxEventBytes
		var e Event
		if err := d.Decode(&e); err != nil {
			switch {
			case limited.N <= 0:
				return fmt.Errorf("an event of %s has more than %d bytes", w.Path(), maxEventBytes)
			case errors.Is(err, io.EOF) && ctx.Err() == nil:
				return nil
			}
			return err
		}
		if e.Type == "ERROR" {
			if s, ok := StatusOf(e.Object); ok {
				return apierrors.FromObject(&s)
			}
			return fmt.Errorf("watch of %s: %.200s", w.Path(), e.Object)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// Meta is what is read of each object.
type Meta struct {
	Metadata struct {
		Namespace       string            `json:"namespace"`
		Name            string            `json:"name"`
		UID             string            `json:"uid"`
		ResourceVersion string            `json:"resourceVersion"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
}

// EndOfList tells whether a BOOKMARK's object says that all objects of the
// beginning have been sent.
func (m *Meta) EndOfList() bool {
	return m.Metadata.Annotations[metav1.InitialEventsAnnotationKey] == "true"
}
