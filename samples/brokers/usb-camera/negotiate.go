package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// negotiate returns the modes of a camera to try, the best first: the wanted format,
// then the others that can be shown, those first that cost least. Of the sizes it is
// the wanted one, or the nearest.
func negotiate(offers []offer, want mode) ([]mode, error) {
	var list []mode
	for _, f := range slices.Concat([]fourCC{want.format}, formats()) {
		at := slices.IndexFunc(offers, func(o offer) bool { return o.format == f })
		if at < 0 || !known(f) || slices.ContainsFunc(list, func(m mode) bool { return m.format == f }) {
			continue
		}
		width, height := nearest(offers[at].sizes, want.width, want.height)
		list = append(list, mode{format: f, width: width, height: height})
	}
	if len(list) > 0 {
		return list, nil
	}
	if len(offers) == 0 {
		return nil, fmt.Errorf("the camera has no formats")
	}
	var names []string
	for _, o := range offers {
		names = append(names, o.format.String())
	}
	return nil, fmt.Errorf("the camera has the formats %s; this broker knows %v", strings.Join(names, ", "), formats())
}

// nearest returns the size of a list that is most like the wanted one. Without a
// list the driver chooses.
func nearest(list []sizes, width, height uint32) (w, h uint32) {
	best := math.MaxFloat64
	w, h = width, height
	for _, s := range list {
		sw, sh := within(width, s.minWidth, s.maxWidth, s.stepWidth), within(height, s.minHeight, s.maxHeight, s.stepHeight)
		if sw == 0 || sh == 0 {
			continue
		}
		d := math.Abs(float64(sw)-float64(width)) + math.Abs(float64(sh)-float64(height))
		if d < best {
			best, w, h = d, sw, sh
		}
	}
	return w, h
}

// within returns the number nearest below n, from least to greatest in steps.
func within(n, least, greatest, step uint32) uint32 {
	n = min(max(n, least), max(greatest, least))
	return n - (n-least)%cmp.Or(step, 1)
}
