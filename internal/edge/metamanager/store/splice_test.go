package store

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestWithRV(t *testing.T) {
	for object, want := range map[string]string{
		`{"metadata":{"name":"a","resourceVersion":"12"},"x":1}`:                          `{"metadata":{"name":"a","resourceVersion":"7"},"x":1}`,
		`{"metadata":{"resourceVersion":"12","name":"a"}}`:                                `{"metadata":{"resourceVersion":"7","name":"a"}}`,
		`{"metadata":{"name":"a"}}`:                                                       `{"metadata":{"resourceVersion":"7","name":"a"}}`,
		`{"metadata":{}}`:                                                                 `{"metadata":{"resourceVersion":"7"}}`,
		`{ "a" : [ {"metadata":{"resourceVersion":"1"}} , "}" ] , "metadata" : { } }`:     `{ "a" : [ {"metadata":{"resourceVersion":"1"}} , "}" ] , "metadata" : {"resourceVersion":"7" } }`,
		`{"a":"\"metadata\":{","metadata":{"b":{"resourceVersion":"1"}}}`:                 `{"a":"\"metadata\":{","metadata":{"resourceVersion":"7","b":{"resourceVersion":"1"}}}`,
		`{"n":-1.5e3,"t":true,"metadata":{"resourceVersion":null},"u":null}`:              `{"n":-1.5e3,"t":true,"metadata":{"resourceVersion":"7"},"u":null}`,
		`{"spec":{"metadata":{"resourceVersion":"1"}},"metadata":{"resourceVersion":""}}`: `{"spec":{"metadata":{"resourceVersion":"1"}},"metadata":{"resourceVersion":"7"}}`,
		`{"metadata":"x"}`: `{"metadata":"x"}`,
		`{}`:               `{}`,
		`[]`:               `[]`,
	} {
		if got := string(WithRV([]byte(object), "7")); got != want {
			t.Errorf("%s became %s\nwant %s", object, got, want)
		}
	}
}

// Only the resourceVersion changes.
func FuzzWithRV(f *testing.F) {
	f.Add([]byte(`{"metadata":{"resourceVersion":"1"}}`))
	f.Add([]byte(`{"a":{"b":[1,"]"]},"metadata":{"name":"\\\""}}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		if !json.Valid(object) {
			return
		}
		got := WithRV(object, "7")
		var before, after any
		if json.Unmarshal(object, &before) != nil {
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%s became %s: %v", object, got, err)
		}
		strip := func(v any) any {
			if m, ok := v.(map[string]any); ok {
				if meta, ok := m["metadata"].(map[string]any); ok {
					delete(meta, "resourceVersion")
				}
			}
			return v
		}
		if !reflect.DeepEqual(strip(before), strip(after)) {
			t.Fatalf("%s became %s", object, got)
		}
	})
}
