// Package freeport finds ports for servers of tests that cannot say which one the
// kernel gave them, or that must have the same one again.
//
// A port that the kernel has given away once (":0") may be the port of somebody's
// outgoing connection before the server listens on it: there are thousands of these
// on a busy machine. So the ports here are outside the range that the kernel takes
// for them.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"testing"
)

// The range, which is below those of outgoing connections and of node ports.
const first, count = 20000, 10000

const maxTries = 1000

// Find returns different ports on which nobody listens, by TCP on any address or by
// UDP on the loopback.
func Find(n int) ([]int, error) {
	var found []int
	for range maxTries {
		if len(found) == n {
			return found, nil
		}
		if port := first + rand.IntN(count); !slices.Contains(found, port) && free(port) {
			found = append(found, port)
		}
	}
	return nil, fmt.Errorf("there are no %d free ports from %d to %d", n, first, first+count-1)
}

func free(port int) bool {
	at := strconv.Itoa(port)
	l, err := net.Listen("tcp", ":"+at)
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", "127.0.0.1:"+at)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Port returns one.
func Port(t testing.TB) int {
	t.Helper()
	found, err := Find(1)
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

// Address returns an address of the loopback with one.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
}
