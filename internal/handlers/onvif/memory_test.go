package onvif

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/handlers/onvif/camera"
	"github.com/akri-go/akri/internal/handlers/onvif/wsdiscovery"
)

// large is a Hello that is as long as can be.
func large(t *testing.T, uuid string, n int) wsdiscovery.Message {
	t.Helper()
	var scopes strings.Builder
	for i := range 30 {
		fmt.Fprintf(&scopes, "onvif://www.onvif.org/%s/%d/%d ", strings.Repeat("x", 440), i, n)
	}
	m, err := wsdiscovery.Parse([]byte("<Envelope><Body><Hello><EndpointReference><Address>" + uuid + "</Address></EndpointReference>" +
		"<Types>NetworkVideoTransmitter</Types><Scopes>" + scopes.String() + "</Scopes></Hello></Body></Envelope>"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Cameras each of which says as much as it can from several addresses, and then
// fails with as much as it can, take a bounded memory. An eighth of as many as
// there can be are enough to see it.
func TestMemoryOfAFlood(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := newPopulation()
	const most, share = maxCameras / 8, 32 << 20 / 8
	for i := range most {
		uuid := fmt.Sprintf("%s-%d", strings.Repeat("f", 20), i)
		for n := range maxSightings {
			e := large(t, uuid, n).Endpoints[0]
			from := netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)})
			p.hear(camera.Sighting{UUID: uuid, From: from, Scopes: e.Scopes, XAddrs: e.XAddrs}, true, t0)
		}
		p.answered(uuid, camera.Facts{}, errors.New(strings.Repeat("certificate ", 10_000)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(p.cameras) != most {
		t.Fatalf("%d cameras", len(p.cameras))
	}
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > share {
		t.Errorf("%d cameras take %d KiB", len(p.cameras), used>>10)
	}
	runtime.KeepAlive(p)
}

// What a request does not take in time is bounded in bytes too.
func TestBox(t *testing.T) {
	b := &box{filled: make(chan struct{}, 1)}
	m := wsdiscovery.Heard{Message: large(t, "a", 0)}
	n := 0
	for b.put(m) {
		n++
	}
	if n*m.Bytes() > maxBoxedBytes || n < 100 || len(b.take()) != n || !b.put(m) {
		t.Errorf("%d messages of %d bytes", n, m.Bytes())
	}
}
