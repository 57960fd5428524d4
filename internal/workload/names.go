package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// PodName returns the name of the broker Pod of an Instance on a node:
// "<instance>-pod", or "<node>-<instance>-pod" if the device is shared. Dots in
// the Instance's name become dashes, and a long name is shortened, because the
// label app repeats it and the Pod's host name comes from it.
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

// maxLabel is the longest label value, DNS label and host name.
const maxLabel = 63

// shorten returns name if it fits into 63 characters, so that it can be a
// label value, a host name and a Service name as well; else its first 54
// characters, a dash and eight hexadecimal digits of its SHA-256.
func shorten(name string) string {
	if len(name) <= maxLabel {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:maxLabel-9], "-.") + "-" + hex.EncodeToString(sum[:4])
}
