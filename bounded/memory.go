package bounded

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Memory sets the garbage collector's limit to nine tenths of the container's
// memory limit; kernel stacks, sockets and files need the rest. If GOMEMLIMIT
// is set, or there is no limit, it does nothing. It returns the limit in bytes
// that it set, 0 for none.
func Memory(getenv func(string) string) int64 {
	if getenv("GOMEMLIMIT") != "" {
		return 0 // the runtime has read it
	}
	limit := containerLimit(os.DirFS("/"))
	if limit == 0 {
		return 0
	}
	limit = limit / 10 * 9
	debug.SetMemoryLimit(limit)
	return limit
}

// containerLimit returns the lowest memory limit of the process's control group
// and those above it, 0 if there is none. In a container, /sys/fs/cgroup may
// begin with the container's own group, whatever path /proc says.
func containerLimit(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	look := func(base, group, file string) {
		for {
			if n := limitIn(root, path.Join(base, group, file)); n > 0 {
				least = min(least, n)
			}
			if group == "/" || group == "." {
				return
			}
			group = path.Dir(group)
		}
	}
	for line := range strings.Lines(string(groups)) {
		// <number>:<controllers>:<path>; version 2 names no controller.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		group := path.Clean("/" + parts[2])
		switch {
		case parts[0] == "0" && parts[1] == "":
			look("sys/fs/cgroup", group, "memory.max")
		case strings.Contains(","+parts[1]+",", ",memory,"):
			look("sys/fs/cgroup/memory", group, "memory.limit_in_bytes")
		}
	}
	if least >= 1<<60 { // version 1 says so if there is none
		return 0
	}
	return least
}

func limitIn(root fs.FS, file string) int64 {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil { // "max"
		return 0
	}
	return n
}
