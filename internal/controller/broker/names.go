package broker

import (
	"strconv"
	"strings"

	"github.com/akri-go/akri/internal/controller/view"
)

// PodName returns the name of the broker Pod of an Instance on a node:
// "<instance>-pod", or "<node>-<instance>-pod" if the device is shared, where
// dots in the Instance's name become dashes. It is shortened by [view.SafeName]:
// the label app repeats it, and the Pod's host name comes from it.
func PodName(instance, node string, shared bool) string {
	name := strings.ReplaceAll(instance, ".", "-") + "-pod"
	if shared {
		name = node + "-" + name
	}
	return view.SafeName(name)
}

// JobName returns the name of the broker Job of an Instance for a generation
// of its Configuration: "<instance>-<generation>-job", shortened by
// [view.SafeName].
func JobName(instance string, generation int64) string {
	return view.SafeName(strings.ReplaceAll(instance, ".", "-") + "-" + strconv.FormatInt(generation, 10) + "-job")
}
