package jsonpatch

import "testing"

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		name string
		ops  []Op
		want string
	}{
		{"nothing", nil, `null`},
		{"every step", append([]Op{SameUID("u"), Replace("/a", "b")}, RemoveIf("/c", "d")...),
			`[{"op":"test","path":"/metadata/uid","value":"u"},{"op":"replace","path":"/a","value":"b"},` +
				`{"op":"test","path":"/c","value":"d"},{"op":"remove","path":"/c"}]`},
		{"an empty value stays", []Op{Test("/a", ""), Remove("/a")}, `[{"op":"test","path":"/a","value":""},{"op":"remove","path":"/a"}]`},
	} {
		if got, err := Encode(tt.ops); err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestPointer(t *testing.T) {
	if got := Pointer("status", "capacity", "akri.sh/a~b"); got != "/status/capacity/akri.sh~1a~0b" {
		t.Errorf("have %s", got)
	}
	if got := Pointer(); got != "" {
		t.Errorf("the whole object is %q", got)
	}
}
