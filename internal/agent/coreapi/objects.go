package coreapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/rest"
)

// readTimeout bounds a read.
const readTimeout = 15 * time.Second

// object is a Secret or a ConfigMap, as far as it is read.
type object struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Data       map[string]json.RawMessage `json:"data"`
	BinaryData map[string][]byte          `json:"binaryData"`
}

// parse returns the data of an object and its resource version. Errors contain
// nothing of the data.
func parse(kind string, raw []byte) (data map[string][]byte, version string, err error) {
	var o object
	if json.Unmarshal(raw, &o) != nil {
		return nil, "", fmt.Errorf("the API server's answer is not a %s", kind)
	}
	data = make(map[string][]byte, len(o.Data)+len(o.BinaryData))
	for k, v := range o.BinaryData {
		data[k] = v
	}
	for k, v := range o.Data {
		var text string
		var bytes []byte
		if kind == "Secret" {
			err = json.Unmarshal(v, &bytes)
		} else {
			err = json.Unmarshal(v, &text)
			bytes = []byte(text)
		}
		if err != nil {
			return nil, "", fmt.Errorf("the API server's answer is not a %s", kind)
		}
		data[k] = bytes
	}
	return data, o.Metadata.ResourceVersion, nil
}

// about prepares a request for Secrets or ConfigMaps of a namespace.
func (c *Client) about(kind, namespace string) *rest.Request {
	resource := "configmaps"
	if kind == "Secret" {
		resource = "secrets"
	}
	return c.rest.Get().Namespace(namespace).Resource(resource)
}

// Read returns the data of a Secret or ConfigMap (by kind); found is false if
// it does not exist. The data of a ConfigMap is its data and binaryData
// together; for a key of both, data wins.
func (c *Client) Read(ctx context.Context, kind, namespace, name string) (data map[string][]byte, found bool, err error) {
	data, _, err = c.read(ctx, kind, namespace, name)
	return data, data != nil, err
}

// read returns nil data, not only empty data, if the object does not exist.
func (c *Client) read(ctx context.Context, kind, namespace, name string) (data map[string][]byte, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	raw, err := body(c.about(kind, namespace).Name(name).Do(ctx))
	if apierrors.IsNotFound(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return parse(kind, raw)
}

// Watch calls on with a Secret or ConfigMap as it is, and each time that it has
// changed, until the watch ends. Watches end now and then; that is no error.
// Watch needs the verbs get and watch; a Role may restrict them to that name.
func (c *Client) Watch(ctx context.Context, kind, namespace, name string, on func(data map[string][]byte, found bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Random, so that the watches of a cluster's agents do not end together.
	watchTimeout := 5*time.Minute + rand.N(5*time.Minute)
	stream, err := c.about(kind, namespace).
		Param("watch", "true").
		Param("fieldSelector", fields.OneTermEqualSelector("metadata.name", name).String()).
		Param("timeoutSeconds", strconv.Itoa(int(watchTimeout.Seconds()))).
		Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	// Reading while the watch is open misses nothing. It also finds out that an
	// object does not exist, which a watch does not say. A watch that begins at
	// what was read would need the verb list.
	data, version, err := c.read(ctx, kind, namespace, name)
	if err != nil {
		return err
	}
	on(data, data != nil)
	events := json.NewDecoder(stream)
	for {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := events.Decode(&event); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return errors.New("the watch was cut off")
		}
		switch event.Type {
		case "ADDED", "MODIFIED":
			data, now, err := parse(kind, event.Object)
			if err != nil {
				return err
			}
			if newer(now, version) {
				version = now
				on(data, true)
			}
		case "DELETED":
			if _, now, err := parse(kind, event.Object); err == nil && newer(now, version) {
				version = now
				on(nil, false)
			}
		case "ERROR":
			var status metav1.Status
			if json.Unmarshal(event.Object, &status) != nil {
				return errors.New("the watch was ended for a reason that cannot be read")
			}
			return apierrors.FromObject(&status)
		}
	}
}

// newer tells whether resource version a is later than b. Versions that cannot
// be compared are taken for later.
func newer(a, b string) bool {
	if b == "" {
		return true
	}
	c, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || c > 0
}
