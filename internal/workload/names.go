package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// PodName returns the name of the broker Pod of an Instance on a node:
// "<instance>-pod", or "<node>-<instance>-pod" if the device is shared. Dots in
// the Instance's name become dashes, and a long name is shortened, because it
// is also the label app and the Pod's host name.
func PodName(instance, node string, shared bool) string {
	name := dashed(instance) + "-pod"
	if shared {
		name = node + "-" + name
	}
	return shorten(name)
}

// JobName returns the name of the broker Job of an Instance for a generation
// of its Configuration: "<instance>-<generation>-job", with dashes for dots, and
// shortened if it is long.
func JobName(instance string, generation int64) string {
	return shorten(dashed(instance) + "-" + strconv.FormatInt(generation, 10) + "-job")
}

// ServiceName returns the name of the Service of an Instance or a
// Configuration: "<owner>-svc", with dashes for dots, and shortened if it is
// long.
func ServiceName(owner string) string {
	return shorten(dashed(owner) + "-svc")
}

func dashed(name string) string { return strings.ReplaceAll(name, ".", "-") }

// maxLabelBytes is the limit of label values, DNS labels and host names.
const maxLabelBytes = 63

// shorten returns name if it has at most 63 characters, so that it can be a
// label value, a host name and a Service name; else its first 54 characters, a
// dash and eight hexadecimal digits of its SHA-256.
func shorten(name string) string {
	if len(name) <= maxLabelBytes {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:maxLabelBytes-9], "-.") + "-" + hex.EncodeToString(sum[:4])
}
