package guest

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Dynamic returns a program that is not static and the libraries that it needs, by
// their paths in a guest. Root has the files of Debian packages; see
// [peers.Unpack].
func Dynamic(root, program, at string) (map[string]string, error) {
	files := map[string]string{at: program}
	wanted := []string{program}
	for len(wanted) > 0 {
		needed, err := dynamicNeeds(wanted[0])
		if err != nil {
			return nil, err
		}
		wanted = wanted[1:]
		for _, path := range needed {
			if files[path] != "" {
				continue
			}
			if files[path], err = library(root, filepath.Base(path)); err != nil {
				return nil, fmt.Errorf("%s: %w", program, err)
			}
			wanted = append(wanted, files[path])
		}
	}
	return files, nil
}

const libraryFolder = "lib/x86_64-linux-gnu"

// library finds a library in the folders that Debian has for them.
func library(root, name string) (string, error) {
	for _, dir := range []string{libraryFolder, "usr/" + libraryFolder} {
		path := filepath.Join(root, dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no library %s in %s", name, root)
}

// dynamicNeeds returns where a program or library looks for its libraries, and for
// what loads it.
func dynamicNeeds(file string) (paths []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "ld-linux") { // that is below
			paths = append(paths, "/"+libraryFolder+"/"+name)
		}
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(p.Open())
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		paths = append(paths, strings.TrimRight(string(text), "\x00"))
	}
	return paths, nil
}
