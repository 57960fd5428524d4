//go:build !race

package webhook

// maxFloodBytes is how much memory the process may use under a flood. The
// controller's limit is 256 MiB, part of which is for its caches. It uses about
// 130.
const maxFloodBytes = 200 << 20
