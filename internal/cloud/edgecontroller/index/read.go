package index

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// readTimeout bounds the reading of one object.
const readTimeout = 15 * time.Second

// Object is an object as it was read.
type Object struct {
	UID, Version string
	// JSON must not be changed.
	JSON []byte
}

// Read returns an object of the subscription, at least as new as the last change
// that its listener was told of; nil if there is none.
func (s *Subscription) Read(ctx context.Context, k Key) (*Object, error) {
	f := s.f
	f.mu.Lock()
	e, there := f.objects[k]
	f.mu.Unlock()
	if !there || !s.selects(e.slice) {
		return nil, nil
	}
	if data := f.x.cache.get(f, k, e.version); data != nil {
		return &Object{e.uid, e.version, data}, nil
	}
	// Those who want the same object share one request; it must not end because
	// the first of them goes.
	type result struct {
		object *Object
		slice  string
	}
	flight := f.whole.Path() + "\x00" + f.whole.Fields + "\x00" + f.whole.Labels + "\x00" + k.Namespace + "\x00" + k.Name +
		"\x00" + e.version + "\x00" + s.as.Key()
	c := f.x.reads.DoChan(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		o, slice, err := f.read(ctx, s.as, k, e.version)
		return result{o, slice}, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-c:
		if r.Err != nil {
			return nil, r.Err
		}
		got := r.Val.(result)
		if !s.selects(got.slice) {
			return nil, nil
		}
		return got.object, nil
	}
}

// errRead ends a watch that is used for reading.
var errRead = errors.New("read")

// read reads one object by a watch that ends with its list: so it needs the same
// rights as the feed, and finds only what the feed selects.
func (f *feed) read(ctx context.Context, as kube.User, k Key, version string) (*Object, string, error) {
	if f.own != nil {
		as = kube.User{}
	}
	f.x.gets.Add(1)
	where := f.whole.Resource
	where.Namespace = k.Namespace
	w := kube.Watch{
		Resource: where, Fields: named(f.whole.Fields, k.Name), Labels: f.whole.Labels,
		NotOlderThan: version, Timeout: readTimeout,
	}
	var object *Object
	var slice string
	err := f.x.client.Watch(ctx, as, w, func() {}, func(e kube.Event) error {
		var m kube.Meta
		if err := json.Unmarshal(e.Object, &m); err != nil {
			return err
		}
		switch e.Type {
		case "ADDED", "MODIFIED":
			object = &Object{m.Metadata.UID, m.Metadata.ResourceVersion, e.Object}
			slice = f.by.of(&m, e.Object)
		case "DELETED":
			object = nil
		case "BOOKMARK":
			if m.EndOfList() {
				return errRead
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errRead):
	case err != nil:
		return nil, "", err
	default:
		return nil, "", errors.New("the API server ended a watch before its list was complete")
	}
	if object != nil {
		f.keep(k, object)
	}
	return object, slice, nil
}

// keep puts an object into the cache if it is the one that the feed knows.
func (f *feed) keep(k Key, o *Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, there := f.objects[k]; there && e.version == o.Version {
		f.x.cache.put(f, k, o.Version, o.JSON)
	}
}

// named adds a name to a field selector.
func named(selector, name string) string {
	term := "metadata.name=" + name
	switch {
	case selector == "":
		return term
	case slices.Contains(strings.Split(selector, ","), term):
		return selector
	}
	return selector + "," + term
}

// ObjectOf is an object whose JSON has been read elsewhere.
func ObjectOf(object []byte) (*Object, error) {
	var m kube.Meta
	if err := json.Unmarshal(object, &m); err != nil {
		return nil, err
	}
	if m.Metadata.UID == "" {
		return nil, errors.New("it has no uid")
	}
	return &Object{m.Metadata.UID, m.Metadata.ResourceVersion, object}, nil
}

// Present returns the version that the cluster has now, by a watch that ends with
// its list. It need not find any object.
func (s *Subscription) Present(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	as := s.as
	if s.f.own != nil {
		as = kube.User{}
	}
	w := kube.Watch{Resource: s.f.whole.Resource, Fields: named(s.f.whole.Fields, "none"), Labels: s.f.whole.Labels, Timeout: readTimeout}
	err = s.f.x.client.Watch(ctx, as, w, func() {}, func(e kube.Event) error {
		var m kube.Meta
		if err := json.Unmarshal(e.Object, &m); err != nil {
			return err
		}
		if e.Type == "BOOKMARK" && m.EndOfList() {
			version = m.Metadata.ResourceVersion
			return errRead
		}
		return nil
	})
	switch {
	case errors.Is(err, errRead):
		return version, nil
	case err != nil:
		return "", err
	}
	return "", errors.New("the API server ended a watch before its list was complete")
}

// Older reports whether version a came before b, as far as can be told:
// resourceVersions can be compared as numbers since Kubernetes 1.35 (KEP-5504).
func Older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}
