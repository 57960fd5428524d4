package peers

import (
	"errors"
	"testing"
)

// Only a missing network is a reason to skip a test.
func TestUnreachable(t *testing.T) {
	failed := errors.New("exit status 1")
	for said, want := range map[string]bool{
		"npm error code EAI_AGAIN\nnpm error request to https://registry.example/onvif failed": true,
		"npm error code ENOTFOUND":                                                              true,
		"npm error code E404\nnpm error 404 Not Found":                                          false,
		"npm error code ETARGET no matching version found":                                      false,
		"E: Failed to fetch http://deb.example/x  Temporary failure resolving 'deb.example'":    true,
		"E: Unable to locate package nonsense":                                                  false,
		"Failed to establish a new connection: [Errno -3] Temporary failure in name resolution": true,
		"Failed to establish a new connection: [Errno 111] Connection refused":                  true,
		"ERROR: No matching distribution found for nonsense==1":                                 false,
		"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt-get)":  false,
		"No space left on device":                                                               false,
	} {
		if got := unreachable(&commandError{failed, said}); got != want {
			t.Errorf("%q: %v", said, got)
		}
	}
	if unreachable(failed) {
		t.Error("an error that no client said")
	}
}

func TestDependency(t *testing.T) {
	const listed = "linux-image-amd64\n  Depends: debconf\n  Depends: linux-image-6.1.0-57-amd64\n  Recommends: linux-image-x\n"
	for prefix, want := range map[string]string{"linux-image-": "linux-image-6.1.0-57-amd64", "linux-headers-": ""} {
		if got := dependencyIn(listed, prefix); got != want {
			t.Errorf("%s: %q", prefix, got)
		}
	}
	if got := dependencyIn("", ""); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
