// Package details parses the discoveryDetails of the handler debugEcho.
package details

import (
	"errors"
	"fmt"
	"unicode"

	"sigs.k8s.io/yaml"
)

// What help texts and messages say of the handler.
const (
	// Name is what Configurations ask for.
	Name = "debugEcho"
	// Summary says in one line what the handler finds.
	Summary = "pretended devices, listed in the Configuration, for tests"
	// About says what the handler needs and does.
	About = `All devices are offline while ` + DefaultAvailabilityFile + `
contains OFFLINE.`
)

// DefaultAvailabilityFile says whether the devices are online. Upstream's handler
// reads the same file.
const DefaultAvailabilityFile = "/tmp/debug-echo-availability.txt"

const (
	maxDetailsBytes     = 1 << 20 // bytes
	maxDescriptions     = 10_000
	maxDescriptionBytes = 1024 // bytes
)

// Check returns an error if discoveryDetails are invalid. There are no warnings.
func Check(text string) (warnings []string, err error) {
	_, err = Parse(text)
	return nil, err
}

// Parse returns the descriptions of the devices, each once, in their order. The
// text is a YAML mapping with the key descriptions, a list of strings.
func Parse(text string) (descriptions []string, err error) {
	if len(text) > maxDetailsBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(text), maxDetailsBytes)
	}
	var d struct {
		Descriptions *[]string `json:"descriptions"`
	}
	if err := yaml.UnmarshalStrict([]byte(text), &d); err != nil {
		return nil, err
	}
	if d.Descriptions == nil {
		return nil, errors.New("descriptions is missing: list one text per device")
	}
	if n := len(*d.Descriptions); n > maxDescriptions {
		return nil, fmt.Errorf("%d descriptions, at most %d are allowed", n, maxDescriptions)
	}
	seen := make(map[string]bool, len(*d.Descriptions))
	for i, text := range *d.Descriptions {
		if err := checkDescription(text); err != nil {
			return nil, fmt.Errorf("descriptions[%d]: %w", i, err)
		}
		if !seen[text] {
			seen[text] = true
			descriptions = append(descriptions, text)
		}
	}
	return descriptions, nil
}

func checkDescription(text string) error {
	switch {
	case text == "":
		return errors.New("is empty")
	case len(text) > maxDescriptionBytes:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(text), maxDescriptionBytes)
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return fmt.Errorf("the control character %q is not allowed", r)
		}
	}
	return nil
}
