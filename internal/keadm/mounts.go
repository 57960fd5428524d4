package keadm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmountBelow unmounts all that is mounted below a folder. An error means that
// something still is: what is removed there then could be anybody's data.
func unmountBelow(dir string) error {
	before := -1
	for {
		text, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		all := mountsBelow(string(text), dir)
		if len(all) == 0 {
			return nil
		}
		if len(all) == before { // the last round has changed nothing
			return fmt.Errorf("%s is still mounted: fuser -m shows who uses it", all[0])
		}
		before = len(all)
		for _, m := range all {
			_ = unix.Unmount(m, unix.UMOUNT_NOFOLLOW) // the next round shows whether it was of use
		}
	}
}

// mountsBelow are the mounts below a folder in the text of
// /proc/self/mountinfo, the deepest first. Two at one place are two.
func mountsBelow(mountinfo, dir string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if at := unescape(f[4]); strings.HasPrefix(at, filepath.Clean(dir)+"/") {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// unescape undoes the kernel's escapes, such as \040 for a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
