package vital

import (
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Mount is a line of a table of mounts.
type Mount struct {
	Number string // of the device, such as "8:1"
	Point  string // where it is mounted
	Source string // such as "/dev/sda1", or a word
}

// Tables returns what is mounted, the node's table first, and the device nodes
// that are swapped on.
func Tables(files Files) ([]Mount, []string) {
	var table []Mount
	if files.NodeMounts != "" {
		if b, err := openFile(files.NodeMounts); err == nil {
			table = parseMounts(b)
		}
	}
	own, _ := fs.ReadFile(files.Proc, "self/mountinfo")
	swaps, _ := fs.ReadFile(files.Proc, "swaps")
	return append(table, parseMounts(own)...), parseSwaps(swaps)
}

// maxTableBytes is how much of a table is read. On a node with thousands of
// Pods it has some MiB.
const maxTableBytes = 64 << 20

func readTable(f fs.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxTableBytes))
}

func openFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return readTable(f, nil)
}

// parseMounts reads a table as /proc/PID/mountinfo is (proc_pid_mountinfo(5)).
func parseMounts(table []byte) []Mount {
	var all []Mount
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		for i, word := range f {
			if word == "-" && i >= 6 && len(f) > i+2 {
				all = append(all, Mount{Number: f[2], Point: unescape(f[4]), Source: unescape(f[i+2])})
				break
			}
		}
	}
	return all
}

// parseSwaps returns the device nodes in /proc/swaps. Swap files are on file
// systems that are mounted.
func parseSwaps(table []byte) []string {
	var nodes []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "partition" {
			nodes = append(nodes, unescape(f[0]))
		}
	}
	return nodes
}

// unescape decodes how the kernel writes white space and backslashes: \040.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
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
