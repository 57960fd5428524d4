package kubebin

import (
	"fmt"
	"os"
	"strings"
)

// Versions lists the versions of Kubernetes that can be built, the newest
// first. That is the default, and the version of the module tools/kube. For the
// others the module is derived from Kubernetes' own; see older.
func Versions() []string { return []string{"v1.37.1", "v1.36.3", "v1.35.4", "v1.34.5"} }

// DefaultVersion is the version of Kubernetes that is built by default.
func DefaultVersion() string { return Versions()[0] }

// WantedVersion is the version of Kubernetes in $AKRI_KUBERNETES, or "". It is
// for tests.
func WantedVersion() string { return os.Getenv("AKRI_KUBERNETES") }

// FindVersion returns the one of Versions that a person means by 1.35, v1.35 or
// 1.35.4.
func FindVersion(wish string) (string, error) {
	for _, v := range Versions() {
		if w := "v" + strings.TrimPrefix(wish, "v"); w == v || w == Minor(v) {
			return v, nil
		}
	}
	return "", fmt.Errorf("version %s of Kubernetes is not supported; choose among %s", wish, strings.Join(plain(Versions()), ", "))
}

// Before reports whether the minor version of a comes before that of b.
func Before(a, b string) bool {
	number := func(v string) (major, minor int) {
		if _, err := fmt.Sscanf(Minor(v), "v%d.%d", &major, &minor); err != nil {
			return 0, 0
		}
		return major, minor
	}
	aMajor, aMinor := number(a)
	bMajor, bMinor := number(b)
	return aMajor < bMajor || aMajor == bMajor && aMinor < bMinor
}

// Minor is a version without its patch: v1.35 of v1.35.4.
func Minor(version string) string {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	return major + "." + minor
}

func plain(versions []string) (list []string) {
	for _, v := range versions {
		list = append(list, strings.TrimPrefix(v, "v"))
	}
	return list
}
