// Package freeport finds ports for servers that tests start.
//
// A port that the kernel chooses (":0") is given back and may be gone a moment
// later: the kernel takes ports of outgoing connections from the same range, and
// tests on a busy machine make many. Those found here are below that range.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"testing"
)

// The kernel's own range begins at 32768.
const first, last = 20000, 31999

// maxTries is how many ports are looked at.
const maxTries = 1000

// Pick returns so many ports that are free on all addresses, for TCP and UDP.
func Pick(n int) ([]int, error) {
	var found []int
	for range maxTries {
		if len(found) == n {
			return found, nil
		}
		port := first + rand.IntN(last-first+1)
		if !slices.Contains(found, port) && free(port) {
			found = append(found, port)
		}
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, first, last)
}

// Of returns a port for a test.
func Of(t testing.TB) int {
	t.Helper()
	found, err := Pick(1)
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

// Address returns an address of the loopback for a test.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Of(t)))
}

func free(port int) bool {
	address := net.JoinHostPort("", strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
