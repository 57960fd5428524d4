// Package version is the version of a program of this project.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// linked is set by -ldflags=-X in builds of images and in make build.
var linked string

// String is what a program prints as its version, without its name.
func String() string {
	info, _ := debug.ReadBuildInfo()
	return describe(linked, info)
}

// describe prefers linked to what the Go tool recorded.
func describe(linked string, info *debug.BuildInfo) string {
	version, revision := linked, ""
	if info != nil {
		if version == "" && info.Main.Version != "(devel)" {
			version = info.Main.Version
		}
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if r := settings["vcs.revision"]; r != "" {
			revision = ", commit " + r[:min(len(r), 12)]
			if settings["vcs.modified"] == "true" {
				revision += " with changes"
			}
		}
	}
	if version == "" {
		version = "of unknown version"
	}
	return fmt.Sprintf("%s (%s, %s/%s%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, revision)
}

// Requested reports whether a program's arguments only ask for its version.
func Requested(args []string) bool {
	return len(args) == 1 && (args[0] == "--version" || args[0] == "-version" || args[0] == "version")
}
