package vital

import (
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// mount is a line of a mount table.
type mount struct {
	number string // of the device, such as "8:1"
	point  string
	source string // such as "/dev/sda1", or a word
}

// maxTable is how much of a table is read: that of a node with thousands of
// Pods has some MiB.
const maxTable = 64 << 20

func readTable(f fs.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxTable))
}

func openFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return readTable(f, nil)
}

// parseMounts reads a table as /proc/PID/mountinfo is (proc_pid_mountinfo(5)).
func parseMounts(table []byte) []mount {
	var all []mount
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		for i, word := range f {
			if word == "-" && i >= 6 && len(f) > i+2 {
				all = append(all, mount{number: f[2], point: unescape(f[4]), source: unescape(f[i+2])})
				break
			}
		}
	}
	return all
}

// parseSwaps returns the device nodes in /proc/swaps. Swap files lie on what is
// mounted.
func parseSwaps(table []byte) []string {
	var nodes []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "partition" {
			nodes = append(nodes, unescape(f[0]))
		}
	}
	return nodes
}

// unescape takes back what the kernel does to white space and backslashes: \040.
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
