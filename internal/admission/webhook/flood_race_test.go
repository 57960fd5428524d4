//go:build race

package webhook

// maxFloodBytes is larger because the race detector needs memory.
const maxFloodBytes = 512 << 20
