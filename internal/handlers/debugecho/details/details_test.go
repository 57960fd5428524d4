package details

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, text := range []string{
		"descriptions:\n- \"foo\"\n- bar\n- foo\n",
		`{"descriptions": ["foo", "bar"]}`,
	} {
		if got, err := Parse(text); err != nil || !slices.Equal(got, []string{"foo", "bar"}) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                     "descriptions is missing",
		"{}":                                   "descriptions is missing",
		"descriptions:":                        "descriptions is missing",
		"descriptions: 7":                      "cannot unmarshal",
		"- a":                                  "cannot unmarshal",
		"descriptions: [a]\nother: 1":          "unknown field",
		"descriptions: ['']":                   "descriptions[0]: is empty",
		`descriptions: [a, "a\nb"]`:            `descriptions[1]: the control character '\n' is not allowed`,
		strings.Repeat("#", maxDetailsBytes+1): "at most",
		"descriptions: [" + strings.Repeat("x", maxDescriptionBytes+1) + "]": "descriptions[0]: 1025 bytes, at most 1024",
		"descriptions: [" + strings.Repeat("x,", maxDescriptions) + "x]":     "10001 descriptions",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("descriptions: [a, b]")
	f.Add(`{"descriptions": ["a"]}`)
	f.Add("descriptions: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		descriptions, err := Parse(text)
		if err != nil && descriptions != nil {
			t.Errorf("%v, and yet %q", err, descriptions)
		}
		for _, d := range descriptions {
			if checkDescription(d) != nil {
				t.Errorf("description %q", d)
			}
		}
	})
}
