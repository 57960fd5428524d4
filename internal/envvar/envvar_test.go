package envvar

import "testing"

func TestOr(t *testing.T) {
	env := Or(func(name string) string { return map[string]string{"SET": "x", "EMPTY": ""}[name] })
	for name, want := range map[string]string{"SET": "x", "EMPTY": "fallback", "UNSET": "fallback"} {
		if got := env(name, "fallback"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
