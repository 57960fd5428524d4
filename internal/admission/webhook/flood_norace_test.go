//go:build !race

package webhook

// floodMemory is what the process may take under a flood: the controller's
// limit is 256 MiB, and its caches have a part of that. It takes some 130.
const floodMemory = 200 << 20
