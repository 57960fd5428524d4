package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestBindings(t *testing.T) {
	got, err := bindings(list("udev=65532, a=b=0,udev=0,nobody="))
	want := map[string][]int{"udev": {65532, 0}, "a=b": {0}, "nobody": nil}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"udev", "=1", "udev=-1", "udev=root", "udev=4294967296"} {
		if _, err := bindings([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
