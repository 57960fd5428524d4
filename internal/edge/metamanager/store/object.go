package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
)

// Resource is a resource in one version, as the cloud was asked for it.
type Resource struct{ Group, Version, Name string }

func (r Resource) String() string { return r.Group + "/" + r.Version + "/" + r.Name }

// GroupVersion is as in apiVersion.
func (r Resource) GroupVersion() string {
	if r.Group == "" {
		return r.Version
	}
	return r.Group + "/" + r.Version
}

// Nodes is the resource of Nodes.
var Nodes = Resource{Version: "v1", Name: "nodes"}

// ResourceOf is the resource of an interest.
func ResourceOf(i edgev1.Interest) Resource { return Resource{i.Group, i.Version, i.Resource} }

// Key names an object. Namespace is empty where the resource has none.
type Key struct {
	Resource        Resource
	Namespace, Name string
}

// Object is one state of an object. What can be seen of it never changes.
type Object struct {
	Key
	UID     string
	Version string // the cluster's
	// RV is the local one, and Since that of the last change of the content:
	// whoever has an RV between the two has this content.
	RV, Since uint64
	// JSON is the object with its RV.
	JSON []byte

	cloud   []byte  // while there is an overlay: what the cloud has said
	holders []int64 // ids of interests, sorted
	session uint64  // in which Version was last received; under the store's lock
}

// Overlaid reports whether the object is what the edge node has made of it.
func (o *Object) Overlaid() bool { return o.cloud != nil }

func (o *Object) heldBy(id int64) bool {
	if o == nil {
		return false
	}
	_, ok := slices.BinarySearch(o.holders, id)
	return ok
}

func (o *Object) bytes() int {
	if o == nil {
		return 0
	}
	return len(o.JSON) + len(o.cloud) + 400
}

// with returns the holders and id.
func with(holders []int64, id int64) []int64 {
	i, ok := slices.BinarySearch(holders, id)
	if ok {
		return holders
	}
	return slices.Insert(slices.Clone(holders), i, id)
}

// without returns the holders but id.
func without(holders []int64, id int64) []int64 {
	i, ok := slices.BinarySearch(holders, id)
	if !ok {
		return holders
	}
	return slices.Delete(slices.Clone(holders), i, i+1)
}

// Head is what is read of every object.
type Head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name                       string   `json:"name"`
		Namespace                  string   `json:"namespace"`
		UID                        string   `json:"uid"`
		ResourceVersion            string   `json:"resourceVersion"`
		DeletionTimestamp          string   `json:"deletionTimestamp"`
		DeletionGracePeriodSeconds *int64   `json:"deletionGracePeriodSeconds"`
		Finalizers                 []string `json:"finalizers"`
	} `json:"metadata"`
}

// maxObjectBytes is more than etcd takes.
const maxObjectBytes = 4 << 20

// Errors of what comes from the cloud.
var (
	errMalformed = errors.New("not an object of the API")
	// ErrBuried means that an object was deleted here a moment ago. A message that
	// has it is older than that; or the cloud was restored from a backup.
	ErrBuried = errors.New("it was deleted here")
	// ErrFull means that the store has as many bytes as it may.
	ErrFull = errors.New("the store is full")
)

// ReadHead reads the head of an object and checks that it is one.
func ReadHead(object []byte) (Head, error) {
	var h Head
	if len(object) > maxObjectBytes {
		return h, fmt.Errorf("%w: it has %d bytes, more than %d", errMalformed, len(object), maxObjectBytes)
	}
	if err := json.Unmarshal(object, &h); err != nil {
		return h, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if h.Kind == "" || h.APIVersion == "" || h.Metadata.Name == "" {
		return h, fmt.Errorf("%w: it has no apiVersion, kind or metadata.name", errMalformed)
	}
	return h, nil
}

// older reports whether version a came before b, as far as can be told:
// resourceVersions can be compared as numbers since Kubernetes 1.35 (KEP-5504).
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}
