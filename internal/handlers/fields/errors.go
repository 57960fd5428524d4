package fields

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Explain says what is wrong with YAML that was decoded into a struct, as its
// author knows it, not as Go does. keys names those that there are.
func Explain(err error, keys string) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		if wrong.Field == "" {
			return fmt.Errorf("want a mapping with some of the keys %s", keys)
		}
		return fmt.Errorf("%s: want %s", wrong.Field, kind(wrong.Type))
	}
	text := plainYAML(err).Error()
	if i := strings.LastIndex(text, "json: "); i >= 0 {
		text = text[i+len("json: "):]
	}
	if strings.HasPrefix(text, "unknown field") {
		text += ": the keys are " + keys
	}
	return errors.New(text)
}

// kind says what a key takes.
func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map:
		return "a mapping of keys to filters"
	case reflect.Struct:
		return "a mapping with action and items"
	case reflect.Slice:
		return "a list of texts"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a whole number"
	}
	return "a text"
}

// plainYAML says what is wrong with YAML, and not how it is read.
func plainYAML(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
}
