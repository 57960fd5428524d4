package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestParseTraining(t *testing.T) {
	for _, c := range []struct {
		text string
		step float64
		want string
	}{
		{"70..72", 1, "[70 70 70 71 71 71 72 72 72] 0"},
		{"-1..0", 0.5, "[-1 -1 -1 -0.5 -0.5 -0.5 0 0 0] 0"},
		{"1, 2.4", 1, "[1 1 1 2 2 2] 0"},
		{"first:100", 1, "[] 100"},
		{"first:2", 1, `"first:2": after first: want a number from 3 to 1000`},
		{"first:x", 1, `"first:x": after first: want a number`},
		{"80..70", 1, `"80..70": it has 0 values at a distance of 1, 1 to 1000 are allowed`},
		{"0..1000000", 1, `"0..1000000": it has 1000001 values`},
		{"0..1", 1e-300, `"0..1": it has `},
		{"a..b", 1, `"a..b": "a" is no number`},
		{"1,Inf", 1, `"1,Inf": "Inf" is no number`},
		{"", 1, `"": "" is no number`},
		{strings.Repeat("1,", 1000) + "1", 1, `"1,1,`},
	} {
		tr, err := parseTraining(c.text, c.step)
		got := fmt.Sprint(tr.usual, tr.first)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}

// With upstream's values usual is what rounds to a number from 70 to 80.
func TestJudge(t *testing.T) {
	tr, err := parseTraining(defaultTraining, 1)
	if err != nil {
		t.Fatal(err)
	}
	d := &detector{training: tr}
	for v, want := range map[float64]verdict{70: usual, 75: usual, 80: usual, 75.3: usual, 80.4: usual, 69.4: outlier, 80.6: outlier, 0: outlier,
		120: outlier, -75: outlier, math.MaxFloat64: outlier, -math.MaxFloat64: outlier} {
		if got := d.judge(v); got != want {
			t.Errorf("%g: %d, want %d", v, got, want)
		}
	}
	if low, high, ok := d.band(); low != 70 || high != 80 || !ok {
		t.Error(low, high, ok)
	}
}

// What a server says at first is usual, but for what it said once.
func TestLearn(t *testing.T) {
	tr, err := parseTraining("first:30", 0.1)
	if err != nil {
		t.Fatal(err)
	}
	d := &detector{training: tr}
	for i := range 30 {
		if _, _, ok := d.band(); ok {
			t.Error("there is a band while it learns")
		}
		v := 20 + float64(i%5)/10
		if i == 7 {
			v = 50
		}
		if got := d.judge(v); got != learning {
			t.Errorf("value %d: %d", i, got)
		}
	}
	for v, want := range map[float64]verdict{20: usual, 20.4: usual, 20.41: usual, 21: outlier, 19.8: outlier, 50: outlier} {
		if got := d.judge(v); got != want {
			t.Errorf("%g: %d, want %d", v, got, want)
		}
	}
	if low, high, ok := d.band(); low != 20 || high != 50 || !ok {
		t.Error(low, high, ok)
	}
}
