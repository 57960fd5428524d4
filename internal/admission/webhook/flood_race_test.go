//go:build race

package webhook

// floodMemory is several times as much where the race detector keeps its books.
const floodMemory = 512 << 20
