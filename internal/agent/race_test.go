//go:build race

package agent

// The race detector takes that many times the memory.
const memoryFactor = 3
