package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/akri-go/akri/internal/onvif/users"
)

// Limits of the folders of credentials. A Secret has at most 1 MiB.
const (
	maxCredentialFiles = 1000
	maxCredentialBytes = 1 << 20
)

// readCredentials reads the files of mounted Secrets and ConfigMaps, which are
// named as upstream's broker wants them: username_<uuid>, device_credential_list
// and the others that [users.Parse] knows. They are read each time that the camera
// is asked, since the kubelet renews them.
func readCredentials(directories []string) (users.Users, error) {
	all := map[string][]byte{}
	for _, dir := range directories {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return users.Users{}, fmt.Errorf("read credentials: %w", err)
		}
		if len(entries) > maxCredentialFiles {
			return users.Users{}, fmt.Errorf("read credentials: more than %d files in %s", maxCredentialFiles, dir)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") { // ..data, which the files are links into
				continue
			}
			value, err := readSmall(filepath.Join(dir, e.Name()))
			if err != nil {
				return users.Users{}, fmt.Errorf("read credentials: %w", err)
			}
			if value != nil {
				all[e.Name()] = value
			}
		}
	}
	known, err := users.Parse(all)
	if err != nil {
		return known, fmt.Errorf("read credentials in %s: %w", strings.Join(directories, " and "), err)
	}
	return known, nil
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
	value, err := io.ReadAll(io.LimitReader(f, maxCredentialBytes+1))
	if err == nil && len(value) > maxCredentialBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxCredentialBytes)
	}
	return value, err
}
