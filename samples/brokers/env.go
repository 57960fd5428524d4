package brokers

import (
	"cmp"
	"fmt"
	"strconv"
)

// Number reads a number of an environment variable from 1 to maximum; deflt if it
// is empty.
func Number(text string, deflt, maximum int) (int, error) {
	if text == "" {
		return deflt, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maximum {
		return 0, fmt.Errorf("%q: want a number from 1 to %d", text, maximum)
	}
	return n, nil
}

// Ports returns the ports of a broker for what it serves, and for metrics and
// probes: PORT and METRICS_PORT, or those of upstream's brokers.
func Ports(env map[string]string) (serve, probes string) {
	return cmp.Or(env["PORT"], "8083"), cmp.Or(env["METRICS_PORT"], "8080")
}
