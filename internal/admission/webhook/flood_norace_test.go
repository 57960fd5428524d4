//go:build !race

package webhook

// maxFloodBytes is what the process may take under a flood: the controller's
// limit is 256 MiB, and its caches have a part of that. It takes some 130.
const maxFloodBytes = 200 << 20
