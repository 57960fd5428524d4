//go:build race

package webhook

// maxFloodBytes is several times as much where the race detector keeps its books.
const maxFloodBytes = 512 << 20
