package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// parseObject reads a JSON object and hashes it.
func parseObject(raw []byte) (object map[string]any, hash string, err error) {
	if err := utiljson.Unmarshal(raw, &object); err != nil {
		return nil, "", fmt.Errorf("not a JSON object: %w", err)
	}
	if object == nil {
		return nil, "", errors.New("empty")
	}
	hash, err = hashOf(object)
	return object, hash, err
}

// hashOf returns a hash of a JSON object, 16 hexadecimal digits, that does not
// depend on the order of its keys.
func hashOf(object map[string]any) (string, error) {
	canonical, err := json.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:8]), nil
}

// child returns a field of a JSON object as T; the zero value if it is absent
// or null.
func child[T any](m map[string]any, field string) (T, error) {
	var zero T
	v, ok := m[field]
	if !ok || v == nil {
		return zero, nil
	}
	t, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("%s: want %s, have %T", field, jsonKind(zero), v)
	}
	return t, nil
}

func jsonKind(v any) string {
	if _, ok := v.([]any); ok {
		return "a list"
	}
	return "an object"
}

// ensure returns a field that is an object, and makes it if it is absent.
func ensure(m map[string]any, field string) (map[string]any, error) {
	v, err := child[map[string]any](m, field)
	if err != nil {
		return nil, err
	}
	if v == nil {
		v = map[string]any{}
		m[field] = v
	}
	return v, nil
}
