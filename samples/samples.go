// Package samples has manifests that can be applied unchanged, and the programs
// that they run: brokers, and applications that use brokers.
package samples

import "embed"

//go:embed configurations/*.yaml apps/video-streaming/video-streaming.yaml apps/anomaly-detection/anomaly-detection.yaml
var files embed.FS

// Manifest returns a file of this directory, such as "configurations/zram.yaml".
func Manifest(name string) ([]byte, error) { return files.ReadFile(name) }
