package brokers

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Limits of the folders of credentials. A Secret has at most 1 MiB.
const (
	maxSecretFiles = 1000
	maxSecretBytes = 1 << 20
)

// ReadSecret reads the files of a folder where a Secret or a ConfigMap is mounted,
// by their names. Folders in it are left out.
func ReadSecret(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxSecretFiles {
		return nil, fmt.Errorf("more than %d files in %s", maxSecretFiles, dir)
	}
	all := map[string][]byte{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // ..data, which the files are links into
			continue
		}
		value, err := readSmall(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if value != nil {
			all[e.Name()] = value
		}
	}
	return all, nil
}

// readSmall reads a regular file; nil if it is something else.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	value, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err == nil && len(value) > maxSecretBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxSecretBytes)
	}
	return value, err
}
