package deptest

import (
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	g := &Graph{module: "m.org/m", imports: map[string][]string{
		"m.org/m/a":       {"fmt", "m.org/m/b"},
		"m.org/m/b":       {"m.org/m/b/c", "m.org/m/long"},
		"m.org/m/b/d":     nil,
		"m.org/m/b/c":     {"big.org/x/y"},
		"m.org/m/long":    {"m.org/m/longer"},
		"m.org/m/longer":  {"big.org/x"},
		"m.org/m/bicycle": {"fmt"},
		"big.org/x":       {"fmt"},
		"big.org/x/y":     {"big.org/x"},
		"fmt":             nil,
	}}
	for _, c := range []struct {
		name   string
		rule   Rule
		chains []string
		err    string
	}{
		{"direct", Rule{From: []string{"./a"}, Not: []string{"fmt"}}, []string{"./a → fmt"}, ""},
		{"the shortest", Rule{From: []string{"./a"}, Not: []string{"big.org/x/..."}}, []string{"./a → ./b → ./b/c → big.org/x/y"}, ""},
		{"one of them only", Rule{From: []string{"./a"}, Not: []string{"big.org/x"}}, []string{"./a → ./b → ./b/c → big.org/x/y → big.org/x"}, ""},
		{"but", Rule{From: []string{"./b/..."}, Not: []string{"big.org/..."}, But: []string{"big.org/x/y"}},
			[]string{"./b/c → big.org/x/y → big.org/x"}, ""},
		{"no other that is held on the way", Rule{From: []string{"./b", "./b/d"}, Not: []string{"big.org/x"}},
			[]string{"./b → ./b/c → big.org/x/y → big.org/x"}, ""},
		{"all, told once", Rule{From: []string{"./..."}, Not: []string{"big.org/x/y"}}, []string{"./b/c → big.org/x/y"}, ""},
		{"all but one", Rule{From: []string{"./..."}, Except: []string{"./b/c"}, Not: []string{"big.org/x/y"}}, []string{"./b → ./b/c → big.org/x/y"}, ""},
		{"well", Rule{From: []string{"./bicycle"}, Not: []string{"big.org/...", "./b/..."}}, nil, ""},
		{"itself does not count", Rule{From: []string{"./a"}, Not: []string{"./a"}}, nil, ""},
		{"misspelt", Rule{From: []string{"./aa"}, Not: []string{"net"}}, nil, "no package matches ./aa\nno package matches net"},
	} {
		chains, err := g.Check(c.rule)
		for i := range chains {
			chains[i] = strings.ReplaceAll(chains[i], "\n\t", " ")
		}
		said := ""
		if err != nil {
			said = err.Error()
		}
		if !slices.Equal(chains, c.chains) || said != c.err {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, chains, err, c.chains, c.err)
		}
	}
}
