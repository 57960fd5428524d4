package kubeclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// list reads a list and calls each with its objects, one after the other. Only
// one of them is in memory at a time; each decides what to keep.
func list[V any, T object[V]](ctx context.Context, c *Client, resource string, options metav1.ListOptions, each func(T)) (metav1.ListMeta, error) {
	ctx, cancel := withTimeout(ctx, listTimeout)
	defer cancel()
	body, err := c.rest.Get().Resource(resource).VersionedParams(&options, c.params).Stream(ctx)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	defer body.Close()
	meta, err := readList[V, T](body, each)
	if err != nil {
		return metav1.ListMeta{}, fmt.Errorf("read the list of %s: %w", resource, err)
	}
	return meta, nil
}

// readList reads a list in JSON.
func readList[V any, T object[V]](r io.Reader, each func(T)) (metav1.ListMeta, error) {
	var meta metav1.ListMeta
	var item json.RawMessage // its memory is reused
	d := json.NewDecoder(r)
	if err := expect(d, json.Delim('{')); err != nil {
		return meta, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return meta, err
		}
		switch key {
		case "metadata":
			err = d.Decode(&meta)
		case "items":
			err = readItems(d, &item, func(raw []byte) error {
				o := T(new(V))
				if err := utiljson.Unmarshal(raw, o); err != nil {
					return err
				}
				each(o)
				return nil
			})
		default:
			err = d.Decode(&item)
		}
		if err != nil {
			return meta, fmt.Errorf("%v: %w", key, err)
		}
	}
	return meta, expect(d, json.Delim('}'))
}

// readItems calls each with the elements of an array, or of null.
func readItems(d *json.Decoder, item *json.RawMessage, each func([]byte) error) error {
	start, err := d.Token()
	switch {
	case err != nil:
		return err
	case start == nil:
		return nil
	case start != json.Delim('['):
		return fmt.Errorf("want a list, have %v", start)
	}
	for d.More() {
		if err := d.Decode(item); err != nil {
			return err
		}
		if err := each(*item); err != nil {
			return err
		}
	}
	return expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	switch have, err := d.Token(); {
	case err != nil:
		return err
	case have != want:
		return fmt.Errorf("want %v, have %v", want, have)
	}
	return nil
}
