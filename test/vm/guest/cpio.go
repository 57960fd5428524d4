package guest

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// file is an entry of an initramfs.
type file struct {
	name         string // without a slash at its start
	mode         uint32 // with the type, as of stat(2)
	data         []byte
	major, minor uint32 // of a device node
}

func program(name string, data []byte) file {
	return file{name: name, mode: unix.S_IFREG | 0o755, data: data}
}

func folder(name string) file { return file{name: name, mode: unix.S_IFDIR | 0o755} }

// complete adds the folders that files are in, and sorts: a folder comes before
// what is in it.
func complete(files []file) []file {
	known := map[string]bool{".": true}
	for _, f := range files {
		known[f.name] = true
	}
	for _, f := range slices.Clone(files) {
		for dir := path.Dir(f.name); !known[dir]; dir = path.Dir(dir) {
			known[dir] = true
			files = append(files, folder(dir))
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return files
}

// writeArchive writes files in the form that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst, "newc").
func writeArchive(w io.Writer, files []file) error {
	for i, f := range append(files, file{name: "TRAILER!!!"}) {
		if f.name == "" || strings.HasPrefix(f.name, "/") {
			return fmt.Errorf("%q is not a name in an initramfs", f.name)
		}
		header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			i+1, f.mode, 0, 0, 1, 0, len(f.data), 0, 0, f.major, f.minor, len(f.name)+1, 0)
		for _, part := range []string{header + f.name + "\x00", string(f.data)} {
			if _, err := io.WriteString(w, part+strings.Repeat("\x00", padding(len(part)))); err != nil {
				return fmt.Errorf("write an initramfs: %w", err)
			}
		}
	}
	return nil
}

// padding is what is missing to a multiple of four.
func padding(n int) int { return -n & 3 }
