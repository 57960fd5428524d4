package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/samples/apps/anomaly-detection/lof"
)

// Upstream's parameters of the local outlier factor.
const (
	neighbors     = 2
	contamination = 0.1
)

// training says which values are usual.
type training struct {
	usual []float64
	// first is how many of a server's first values are usual, instead.
	first int
	// step is the distance between two values that are told apart. With two
	// neighbours only values that are equal make a usual one: of those that are all
	// different, a tenth would stand out always.
	step float64
}

const (
	// defaultTraining is upstream's: whole numbers from 70 to 80.
	defaultTraining = "70..80"
	maxTraining     = 1000
)

// parseTraining reads a range ("70..80"), a list ("1,2,5"), or how many of the first
// values of a server are usual ("first:100").
func parseTraining(text string, step float64) (training, error) {
	t := training{step: step}
	var err error
	if count, ok := strings.CutPrefix(text, "first:"); ok {
		t.first, err = strconv.Atoi(count)
		if err != nil || t.first <= neighbors || t.first > maxTraining {
			return t, fmt.Errorf("%q: after first: want a number from %d to %d", text, neighbors+1, maxTraining)
		}
		return t, nil
	}
	if low, high, ok := strings.Cut(text, ".."); ok {
		err = t.between(low, high)
	} else {
		err = t.list(text)
	}
	if err != nil {
		return t, fmt.Errorf("%q: %w", text, err)
	}
	return t, nil
}

func (t *training) between(low, high string) error {
	from, err := finite(low)
	if err != nil {
		return err
	}
	to, err := finite(high)
	if err != nil {
		return err
	}
	count := math.Floor((to-from)/t.step) + 1
	if count < 1 || count > maxTraining {
		return fmt.Errorf("it has %.0f values at a distance of %g, 1 to %d are allowed", max(0, count), t.step, maxTraining)
	}
	for i := range int(count) {
		t.add(from + float64(i)*t.step)
	}
	return nil
}

func (t *training) list(text string) error {
	parts := strings.Split(text, ",")
	if len(parts) > maxTraining {
		return fmt.Errorf("it has more than %d values", maxTraining)
	}
	for _, part := range parts {
		v, err := finite(part)
		if err != nil {
			return err
		}
		t.add(v)
	}
	return nil
}

// add makes a value a usual one.
func (t *training) add(v float64) {
	for range neighbors + 1 {
		t.usual = append(t.usual, t.round(v))
	}
}

// far is where all values are equally far from the usual ones.
const far = 1e100

func (t *training) round(v float64) float64 {
	return math.Round(min(max(v, -far), far)/t.step) * t.step
}

func finite(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return v, nil
}

// verdict is what is thought of a value.
type verdict int8

const (
	usual verdict = iota
	outlier
	learning // it is one of those that others will be compared with
)

// detector judges the values of one server.
type detector struct {
	training training
	learnt   []float64
}

// judge says what a value is.
func (d *detector) judge(v float64) verdict {
	v = d.training.round(v)
	if len(d.learnt) < d.training.first {
		d.learnt = append(d.learnt, v)
		return learning
	}
	if d.model().Outlier(v) {
		return outlier
	}
	return usual
}

func (d *detector) model() lof.Model {
	m := lof.Model{Usual: d.training.usual, Neighbors: neighbors, Contamination: contamination}
	if d.training.first > 0 {
		m.Usual = d.learnt
	}
	return m
}

// band is from the least to the greatest usual value; false while there is none.
func (d *detector) band() (low, high float64, ok bool) {
	values := d.model().Usual
	if len(values) == 0 || len(d.learnt) < d.training.first {
		return 0, 0, false
	}
	return slices.Min(values), slices.Max(values), true
}
