package main

import (
	"fmt"
	"maps"
	"strings"

	"github.com/akri-go/akri/internal/onvif/users"
	"github.com/akri-go/akri/samples/brokers"
)

// readCredentials reads the files of mounted Secrets and ConfigMaps, which are
// named as upstream's broker wants them: username_<uuid>, device_credential_list
// and the others that [users.Parse] knows. They are read each time that the camera
// is asked, since the kubelet renews them.
func readCredentials(directories []string) (users.Users, error) {
	all := map[string][]byte{}
	for _, dir := range directories {
		files, err := brokers.ReadSecret(dir)
		if err != nil {
			return users.Users{}, fmt.Errorf("read credentials: %w", err)
		}
		maps.Copy(all, files)
	}
	known, err := users.Parse(all)
	if err != nil {
		return known, fmt.Errorf("read credentials in %s: %w", strings.Join(directories, " and "), err)
	}
	return known, nil
}
