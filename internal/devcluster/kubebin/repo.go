package kubebin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const modulePath = "github.com/akri-go/akri"

// RepoRoot returns the folder of this project's checkout, with the build
// recipes and the chart. It looks at $AKRI_REPO, then upwards from the working
// directory, then upwards from the running program.
func RepoRoot() (string, error) {
	if dir := os.Getenv("AKRI_REPO"); dir != "" {
		if !isRepo(dir) {
			return "", fmt.Errorf("AKRI_REPO=%s is not a checkout of %s", dir, modulePath)
		}
		return filepath.Abs(dir)
	}
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			starts = append(starts, filepath.Dir(real))
		}
	}
	for _, dir := range starts {
		for {
			if isRepo(dir) {
				return dir, nil
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", errors.New("no checkout of " + modulePath + " around the working directory or this program; set AKRI_REPO to it")
}

func isRepo(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(first) == "module "+modulePath
}

// CacheDir returns the folder for built binaries: kube in $AKRI_CACHE, or else
// in akri in the user's cache folder.
func CacheDir() (string, error) {
	base := os.Getenv("AKRI_CACHE")
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the user's cache folder (set AKRI_CACHE): %w", err)
		}
		base = filepath.Join(user, "akri")
	}
	return filepath.Abs(filepath.Join(base, "kube"))
}
