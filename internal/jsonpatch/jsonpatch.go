// Package jsonpatch writes JSON patches (RFC 6902). A patch is a list of steps;
// the API server carries out all of them or, if a test fails, none.
package jsonpatch

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Op is one step of a patch. Its values are texts: nothing else is patched
// here.
type Op struct {
	Op, Path, Value string
}

const remove = "remove"

// Test returns the step that makes the patch fail unless a field has a value.
func Test(path, value string) Op { return Op{"test", path, value} }

// Replace returns the step that gives a field that is there another value.
func Replace(path, value string) Op { return Op{"replace", path, value} }

// Remove returns the step that takes a field or an element of a list away.
func Remove(path string) Op { return Op{Op: remove, Path: path} }

// RemoveIf returns the steps that take something away, and fail unless it has a
// value.
func RemoveIf(path, value string) []Op { return []Op{Test(path, value), Remove(path)} }

// SameUID returns the step that makes the patch fail on any object but the one
// with that UID: another may have its name by now.
func SameUID(uid types.UID) Op { return Test("/metadata/uid", string(uid)) }

// MarshalJSON keeps an empty value, except of the step that has none.
func (o Op) MarshalJSON() ([]byte, error) {
	step := struct {
		Op    string  `json:"op"`
		Path  string  `json:"path"`
		Value *string `json:"value,omitempty"`
	}{Op: o.Op, Path: o.Path}
	if o.Op != remove {
		step.Value = &o.Value
	}
	return json.Marshal(step)
}

// Encode returns a patch as it is sent.
func Encode(ops []Op) ([]byte, error) {
	b, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return b, nil
}

// Pointer returns the path to a field (RFC 6901) from the names on the way to
// it, which may have any characters.
func Pointer(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(n, "~", "~0"), "/", "~1"))
	}
	return b.String()
}
