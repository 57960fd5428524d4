package inventory

import "testing"

func TestAdmit(t *testing.T) {
	for _, test := range []struct {
		name string
		held []holding
		want int
		ok   bool
	}{
		{"alone", nil, 250, true},
		{"a quarter is the most", nil, 251, false},
		{"what it reports for others counts", []holding{{"h", "e", 200}}, 51, false},
		{"its own, in all", []holding{{"h", "e", 200}}, 50, true},
		{"beside another name", []holding{{"x", "e", 500}}, 125, true},
		{"beside another name, too much", []holding{{"x", "e", 500}}, 126, false},
		{"beside another endpoint", []holding{{"h", "f", 250}}, 125, true},
		{"beside another endpoint, too much", []holding{{"h", "f", 250}}, 126, false},
		{"beside devices in grace", []holding{{"h", "", 250}}, 126, false},
		{"names that take what they can", []holding{{"a", "e", 500}, {"b", "e", 250}, {"c", "e", 125}}, 31, true},
	} {
		if err := admit(1000, test.held, "h", "e", test.want); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
