// Package admissiontest has what the tests of admission's packages share.
package admissiontest

import (
	"strings"
	"testing"
)

// Good is a Configuration, in YAML, without errors and warnings.
const Good = `
metadata: {name: cam, namespace: edge}
spec:
  capacity: 2
  discoveryHandler:
    name: udev
    discoveryDetails: |
      udevRules:
      - KERNEL=="video*"
  brokerSpec:
    brokerPodSpec:
      containers:
      - name: broker
        image: broker
        resources: {limits: {"{{PLACEHOLDER}}": "1"}}
  instanceServiceSpec:
    ports: [{port: 80}]
`

// Change returns text with changes, each written as "old => new". The first
// occurrence of old is replaced; without one the test fails.
func Change(t testing.TB, text string, changes ...string) string {
	t.Helper()
	for _, c := range changes {
		from, to, ok := strings.Cut(c, " => ")
		if !ok || !strings.Contains(text, from) {
			t.Fatalf("change %q does not apply", c)
		}
		text = strings.Replace(text, from, to, 1)
	}
	return text
}
