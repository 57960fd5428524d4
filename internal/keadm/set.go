package keadm

import (
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/edge/config"
)

// set gives fields of a configuration other values: key.in.the.file=value, with
// the value in YAML. A key that does not exist is an error.
func set(c config.Config, settings []string) (config.Config, error) {
	if len(settings) == 0 {
		return c, nil
	}
	text, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return c, err
	}
	for _, s := range settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return c, fmt.Errorf("--set %q: want key=value", s)
		}
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			return c, fmt.Errorf("--set %s: %w", key, err)
		}
		if err := put(all, strings.Split(key, "."), v); err != nil {
			return c, fmt.Errorf("--set %s: %w", key, err)
		}
	}
	if text, err = json.Marshal(all); err != nil {
		return c, err
	}
	c, err = config.Parse(text)
	if err != nil {
		return c, fmt.Errorf("--set: %w", err)
	}
	return c, nil
}

// put sets what a path of keys leads to. Maps that both have are merged.
func put(m map[string]any, path []string, v any) error {
	key := path[0]
	if key == "" {
		return fmt.Errorf("the key has an empty part")
	}
	if len(path) == 1 {
		old, isMap := m[key].(map[string]any)
		next, bothMaps := v.(map[string]any)
		if !isMap || !bothMaps {
			m[key] = v
			return nil
		}
		for k, v := range next {
			if err := put(old, []string{k}, v); err != nil {
				return err
			}
		}
		return nil
	}
	if m[key] == nil {
		m[key] = map[string]any{}
	}
	below, ok := m[key].(map[string]any)
	if !ok {
		return fmt.Errorf("%s is no map", key)
	}
	return put(below, path[1:], v)
}
