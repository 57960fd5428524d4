package keadm

import (
	"slices"
	"testing"
)

func TestMountsBelow(t *testing.T) {
	const text = `21 1 8:1 / / rw - ext4 /dev/sda1 rw
30 21 0:26 / /var/lib/kubelet rw - ext4 /dev/sdb1 rw
31 30 0:27 / /var/lib/kubelet/pods/a/volumes/token rw - tmpfs tmpfs rw
32 31 0:27 / /var/lib/kubelet/pods/a/volumes/token rw - tmpfs tmpfs rw
33 30 0:28 / /var/lib/kubelet/pods/a/with\040space rw - tmpfs tmpfs rw
34 21 0:29 / /var/lib/kubelet-other/x rw - tmpfs tmpfs rw
`
	want := []string{"/var/lib/kubelet/pods/a/volumes/token", "/var/lib/kubelet/pods/a/volumes/token", "/var/lib/kubelet/pods/a/with space"}
	if got := mountsBelow(text, "/var/lib/kubelet/"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
