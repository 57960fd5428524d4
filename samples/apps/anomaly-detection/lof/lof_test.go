package lof

import (
	_ "embed"
	"encoding/json"
	"math"
	"testing"
)

//go:embed testdata/recorded.json
var recorded []byte

// What scikit-learn says of the same values: see testdata/record.py.
func TestRecorded(t *testing.T) {
	var all struct {
		Cases []struct {
			Name          string
			Neighbors     int
			Contamination float64
			// Ties: some values are equally far from another one. Which of them are its
			// neighbours is of no meaning then, nor the factors; the verdicts are the same.
			Ties    bool
			Usual   []float64
			Factors []float64 // with the first one that is judged
			Judged  []struct {
				Value, Factor, Offset float64
				Outlier               bool
			}
		}
	}
	if err := json.Unmarshal(recorded, &all); err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }
	judged, outliers := 0, 0
	for _, c := range all.Cases {
		m := Model{c.Usual, c.Neighbors, c.Contamination}
		for i, j := range c.Judged {
			judged++
			if j.Outlier {
				outliers++
			}
			if got := m.Outlier(j.Value); got != j.Outlier {
				t.Errorf("%s: %g is an outlier: %v, want %v", c.Name, j.Value, got, j.Outlier)
			}
			if c.Ties {
				continue
			}
			factors := Factors(append(append([]float64(nil), c.Usual...), j.Value), c.Neighbors)
			if got := factors[len(factors)-1]; !near(got, j.Factor) {
				t.Errorf("%s: the factor of %g is %v, want %v", c.Name, j.Value, got, j.Factor)
			}
			if got := Offset(factors, c.Contamination); !near(got, j.Offset) {
				t.Errorf("%s: with %g the offset is %v, want %v", c.Name, j.Value, got, j.Offset)
			}
			for k, want := range c.Factors {
				if i == 0 && !near(factors[k], want) {
					t.Errorf("%s: the factor of value %d is %v, want %v", c.Name, k, factors[k], want)
				}
			}
		}
	}
	if judged < 80 || outliers < 20 || outliers > judged-20 {
		t.Errorf("%d values, %d of them outliers: too few to tell", judged, outliers)
	}
}

func TestFew(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64 // factor of the last
	}{
		{nil, 0}, {[]float64{1}, 1}, {[]float64{1, 5}, 1}, {[]float64{3, 3, 3, 3}, 1},
	} {
		factors := Factors(c.values, 2)
		if len(factors) != len(c.values) {
			t.Fatalf("%v: %d factors", c.values, len(factors))
		}
		for _, f := range factors {
			if f != c.want {
				t.Errorf("%v: %v, want %v", c.values, factors, c.want)
			}
		}
	}
	if (Model{Neighbors: 2, Contamination: 0.1}).Outlier(1) {
		t.Error("the only value is an outlier")
	}
}

func TestPercentile(t *testing.T) {
	for _, c := range []struct{ part, want float64 }{{0, -4}, {0.1, -3.7}, {0.5, -2.5}, {0.9, -1.3}, {1, -1}} {
		if got := percentile([]float64{-4, -3, -2, -1}, c.part); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%g: %g, want %g", c.part, got, c.want)
		}
	}
}

func FuzzFactors(f *testing.F) {
	f.Add(70.0, 71.0, 71.0, 1e100, 2)
	f.Fuzz(func(t *testing.T, a, b, c, d float64, neighbors int) {
		values := []float64{a, b, c, d, a, b}
		for _, v := range values {
			if math.IsNaN(v) || math.Abs(v) > 1e100 {
				t.Skip()
			}
		}
		for _, f := range Factors(values, neighbors) {
			if math.IsNaN(f) || f < 0 {
				t.Errorf("%v, %d: %v", values, neighbors, f)
			}
		}
	})
}
