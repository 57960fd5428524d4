// Package lof finds values that are unlike others, by their local outlier factor
// (Breunig, Kriegel, Ng, Sander: "LOF: Identifying Density-Based Local Outliers",
// 2000), in the way of scikit-learn's LocalOutlierFactor for numbers of one
// dimension.
package lof

import (
	"math"
	"slices"
)

// Model says what is an outlier: what stands out from usual values.
type Model struct {
	// Usual are the values to compare with.
	Usual []float64
	// Neighbors is how many of the nearest values count. One more than that of the
	// same value make it usual.
	Neighbors int
	// Contamination is the part of all values that are outliers at most, up to 0.5.
	Contamination float64
}

// Outlier says whether a value, put to the usual ones, is one of those that stand
// out most. If it is as usual as those around it, it is none.
func (m Model) Outlier(value float64) bool {
	factors := Factors(append(slices.Clone(m.Usual), value), m.Neighbors)
	last := factors[len(factors)-1]
	return -last < Offset(factors, m.Contamination)
}

// Factors returns the local outlier factor of each value: 1 if it is as dense
// around it as around its neighbours, and more if it is less dense. If several
// values are equally far, the smaller ones are the neighbours.
func Factors(values []float64, neighbors int) []float64 {
	n := len(values)
	k := max(1, min(neighbors, n-1))
	factors := make([]float64, n)
	if n < 2 {
		for i := range factors {
			factors[i] = 1
		}
		return factors
	}
	order := make([]int, n) // of the values, smallest first
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] < values[b]:
			return -1
		case values[a] > values[b]:
			return 1
		}
		return 0
	})
	sorted := make([]float64, n)
	for i, at := range order {
		sorted[i] = values[at]
	}
	nearest := make([][]int, n)
	for i := range sorted {
		nearest[i] = around(sorted, i, k)
	}
	density := densities(sorted, nearest)
	for i, at := range order {
		var sum float64
		for _, j := range nearest[i] {
			sum += density[j] / density[i]
		}
		factors[at] = sum / float64(k)
	}
	return factors
}

// around returns the k values nearest to that at i, the nearest first.
func around(sorted []float64, i, k int) []int {
	found := make([]int, 0, k)
	for left, right := i-1, i+1; len(found) < k; {
		if right == len(sorted) || left >= 0 && sorted[i]-sorted[left] <= sorted[right]-sorted[i] {
			found = append(found, left)
			left--
		} else {
			found = append(found, right)
			right++
		}
	}
	return found
}

// densities returns how dense it is around each value: one divided by how far it
// is to reach its neighbours, which is never less than these have it to theirs.
func densities(sorted []float64, nearest [][]int) []float64 {
	const least = 1e-10 // scikit-learn's, for values that are the same
	distance := func(i, j int) float64 { return math.Abs(sorted[i] - sorted[j]) }
	density := make([]float64, len(sorted))
	for i, near := range nearest {
		var sum float64
		for _, j := range near {
			farthest := nearest[j][len(nearest[j])-1]
			sum += max(distance(i, j), distance(j, farthest))
		}
		density[i] = 1 / (sum/float64(len(near)) + least)
	}
	return density
}

// Offset returns the factor, as a negative number, below which values are outliers,
// if at most this part of them is.
func Offset(factors []float64, contamination float64) float64 {
	negative := make([]float64, len(factors))
	for i, f := range factors {
		negative[i] = -f
	}
	slices.Sort(negative)
	return percentile(negative, contamination)
}

// percentile returns the value below which a part of sorted values is, as numpy
// does: between two values it is on the line from one to the other.
func percentile(sorted []float64, part float64) float64 {
	at := part * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	t := at - float64(low)
	difference := sorted[high] - sorted[low]
	if t >= 0.5 {
		return sorted[high] - difference*(1-t)
	}
	return sorted[low] + difference*t
}
