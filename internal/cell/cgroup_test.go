package cell

import (
	"slices"
	"testing"
)

func TestParseTrees(t *testing.T) {
	hybrid := `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
`
	want := []Tree{
		{Mount: "/sys/fs/cgroup/cpu"},
		{Mount: "/sys/fs/cgroup/systemd", Named: true},
		{Mount: "/sys/fs/cgroup/unified", V2: true},
	}
	if got := ParseTrees(hybrid); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	pure := "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\nshort line\n"
	if got := ParseTrees(pure); !slices.Equal(got, []Tree{{Mount: "/sys/fs/cgroup", V2: true}}) {
		t.Errorf("got %+v", got)
	}
}
