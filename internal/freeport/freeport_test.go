package freeport

import (
	"net"
	"strconv"
	"testing"
)

func TestPick(t *testing.T) {
	found, err := Pick(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range found {
		if port < first || port > last || seen[port] {
			t.Errorf("%d of %v", port, found)
		}
		seen[port] = true
	}
}

func TestFree(t *testing.T) {
	port := Of(t)
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if free(port) {
		t.Error("somebody listens there")
	}
	l.Close()
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if free(port) {
		t.Error("somebody receives datagrams there")
	}
}
