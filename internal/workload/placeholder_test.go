package workload

import "testing"

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{`{containers: [{name: a}]}`, 0},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": 1}}}, {name: b, resources: {limits: {"{{PLACEHOLDER}}": "2"}}}]}`, 3},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": 1}}}], initContainers: [{name: b, resources: {limits: {"{{PLACEHOLDER}}": 3}}}]}`, 3},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": 1}}}], initContainers: [{name: b, restartPolicy: Always, resources: {limits: {"{{PLACEHOLDER}}": 3}}}]}`, 4},
		{`{containers: [{name: a, resources: {requests: {"{{PLACEHOLDER}}": -5}}}]}`, 0},
		{`{containers: [{name: a, resources: {requests: {other: 7}}}]}`, 0},
	} {
		tmpl, err := ParsePod(fromYAML(t, tt.in))
		if err != nil {
			t.Fatal(err)
		}
		if tmpl.Quantity != tt.want {
			t.Errorf("%s: quantity %d, want %d", tt.in, tmpl.Quantity, tt.want)
		}
	}
}
