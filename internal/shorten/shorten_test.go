package shorten

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in         string
		n          int
		start, end string
	}{
		{"", 0, "", ""},
		{"short", 10, "short", "short"},
		{"just ten b", 10, "just ten b", "just ten b"},
		{"exactly ten", 10, "exactly…", "…tly ten"},
		{"ééééé", 10, "ééééé", "ééééé"},
		{"éééééé", 10, "ééé…", "…ééé"},
		{"xéééééé", 10, "xééé…", "…ééé"},
		{"😀😀😀", 10, "😀…", "…😀"},
		{"日本語日本語", 9, "日本…", "…本語"},
		{"日本語日本語", 10, "日本…", "…本語"},
		{"e\u0301e\u0301e\u0301e\u0301", 10, "e\u0301e\u0301e…", "…e\u0301e\u0301"},
		{"\xff\xfe", 10, "\uFFFD", "\uFFFD"},
		{"a\xffb", 5, "a\uFFFDb", "a\uFFFDb"},
		{"abc\xe6\x97", 6, "abc\uFFFD", "abc\uFFFD"},
		{"long", 3, "…", "…"},
		{"long", 2, "", ""},
		{"long", -1, "", ""},
	} {
		if got := Text(c.in, c.n); got != c.start {
			t.Errorf("Text(%q, %d) = %q, want %q", c.in, c.n, got, c.start)
		}
		if got := ToEnd(c.in, c.n); got != c.end {
			t.Errorf("ToEnd(%q, %d) = %q, want %q", c.in, c.n, got, c.end)
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("日本語\xff", 7)
	f.Add("x", 0)
	f.Fuzz(func(t *testing.T, s string, n int) {
		for name, got := range map[string]string{"Text": Text(s, n), "ToEnd": ToEnd(s, n)} {
			if !utf8.ValidString(got) || len(got) > max(n, 0) {
				t.Errorf("%s(%q, %d) = %q, of %d bytes", name, s, n, got, len(got))
			}
			if utf8.ValidString(s) && len(s) <= n && got != s {
				t.Errorf("%s(%q, %d) = %q", name, s, n, got)
			}
			if utf8.ValidString(s) && !strings.Contains(s, strings.Trim(got, more)) {
				t.Errorf("%s(%q, %d) = %q, which is no part of it", name, s, n, got)
			}
		}
	})
}
