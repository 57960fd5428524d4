//go:build !race

package agent

const memoryFactor = 1
