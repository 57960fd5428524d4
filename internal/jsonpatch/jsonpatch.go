// Package jsonpatch makes JSON patches (RFC 6902). A patch is a list of steps.
// The API server carries out all of them or, if a test fails, none.
package jsonpatch

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Op is one step of a patch. Values are always strings.
type Op struct {
	Op, Path, Value string
}

const remove = "remove"

// Test returns the step that fails unless a field has this value.
func Test(path, value string) Op { return Op{"test", path, value} }

// Replace returns the step that changes the value of an existing field.
func Replace(path, value string) Op { return Op{"replace", path, value} }

// Remove returns the step that removes a field or an element of a list.
func Remove(path string) Op { return Op{Op: remove, Path: path} }

// RemoveIf returns the steps that remove something, and fail unless it has this
// value.
func RemoveIf(path, value string) []Op { return []Op{Test(path, value), Remove(path)} }

// SameUID returns the step that fails unless the object has this UID: another
// object may have its name by now.
func SameUID(uid types.UID) Op { return Test("/metadata/uid", string(uid)) }

// MarshalJSON writes a value even if it is empty, except for steps without a
// value.
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

// Encode returns a patch as JSON.
func Encode(ops []Op) ([]byte, error) {
	b, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return b, nil
}

// Pointer returns the JSON pointer (RFC 6901) of a field. The names may have any
// characters.
func Pointer(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(n, "~", "~0"), "/", "~1"))
	}
	return b.String()
}
