package discovery

import (
	"cmp"
	"maps"
	"slices"
)

// Same tells whether two lists hold the same devices, in whatever order.
func Same(a, b []Device) bool {
	if len(a) != len(b) {
		return false
	}
	if slices.EqualFunc(a, b, sameDevice) {
		return true
	}
	return slices.EqualFunc(byID(a), byID(b), sameDevice)
}

func byID(devices []Device) []Device {
	return slices.SortedStableFunc(slices.Values(devices), func(a, b Device) int {
		return cmp.Compare(a.ID, b.ID)
	})
}

func sameDevice(a, b Device) bool {
	return a.ID == b.ID && maps.Equal(a.Properties, b.Properties) &&
		slices.Equal(a.Mounts, b.Mounts) && slices.Equal(a.DeviceSpecs, b.DeviceSpecs)
}
