package freeport

import (
	"net"
	"slices"
	"strconv"
	"testing"
)

func TestFind(t *testing.T) {
	ports, err := Find(50)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 50 || ports[0] < first || ports[49] >= first+count {
		t.Errorf("ports %v", ports)
	}
	if _, err := Find(count + 1); err == nil {
		t.Error("there are more ports than there are")
	}
}

// A port is not free if somebody listens on it, whatever the address.
func TestFree(t *testing.T) {
	l, err := net.Listen("tcp", Address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", Address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, a := range []net.Addr{l.Addr(), c.LocalAddr()} {
		_, port, err := net.SplitHostPort(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); err != nil || free(n) {
			t.Errorf("%s %s is free (%v)", a.Network(), a, err)
		}
	}
}
