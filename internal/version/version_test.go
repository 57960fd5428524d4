package version

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestDescribe(t *testing.T) {
	built := "(" + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	for _, c := range []struct {
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		{"v0.1.0", nil, "v0.1.0 " + built + ")"},
		{"v0.1.0", &debug.BuildInfo{Main: debug.Module{Version: "v9"}, Settings: vcs}, "v0.1.0 " + built + ", commit 0123456789ab with changes)"},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "v9"}, Settings: vcs[:1]}, "v9 " + built + ", commit 0123456789ab)"},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "of unknown version " + built + ")"},
		{"", nil, "of unknown version " + built + ")"},
	} {
		if got := describe(c.linked, c.info); got != c.want {
			t.Errorf("%q, %v: %q, want %q", c.linked, c.info, got, c.want)
		}
	}
}

func TestRequested(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"-version"}, {"version"}} {
		if !Requested(args) {
			t.Errorf("%q does not ask", args)
		}
	}
	for _, args := range [][]string{nil, {"udev"}, {"--version", "udev"}, {""}} {
		if Requested(args) {
			t.Errorf("%q asks", args)
		}
	}
}
