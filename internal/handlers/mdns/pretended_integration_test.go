//go:build integration

package mdns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/handlers/mdns/mdnstest"
	"github.com/akri-go/akri/internal/handlers/multicast/multicasttest"
	"github.com/akri-go/akri/internal/leaktest"
)

// The devices that other tests and the benchmarks pretend are real to Avahi too:
// it finds them by asking, and loses them by their good-byes.
func TestPretended(t *testing.T) {
	leaktest.Check(t)
	street := multicasttest.NewStreet(t)
	var list []mdnstest.Device
	for n := range 3 {
		list = append(list, mdnstest.Device{Address: netip.AddrFrom4([4]byte{10, 99, 0, byte(11 + n)}), Host: fmt.Sprintf("host-%d", n),
			Name: fmt.Sprintf("Device %d", n), Type: "_pretended._tcp", Port: 631, Text: []string{"id=x"}})
	}
	var crowd *mdnstest.Crowd
	in := func(f func() error) {
		t.Helper()
		street.In(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	in(func() (err error) { crowd, err = mdnstest.New("cable", list...); return err })
	t.Cleanup(func() { in(crowd.Close) })
	for n := range list {
		in(func() error { return crowd.Start(n) })
	}
	a := startAvahi(t, func(f func()) { f() }, "node", "eth0", "yes", "no") // after their announcements
	a.ready()
	w := watch(t, "types: [_pretended._tcp]\ndiscoveryTimeoutSeconds: 1")
	sees := func(want ...int) {
		t.Helper()
		var ids []string
		for _, n := range want {
			ids = append(ids, fmt.Sprintf("device %d._pretended._tcp.local", n))
		}
		w.devices(ids...)
		eventually.Succeeds(t, eventually.Patience, func(ctx context.Context) error {
			out, err := a.browse(ctx, "_pretended._tcp")
			if err != nil || strings.Count(out, "\n+")+strings.Count(out[:min(1, len(out))], "+") != len(want) {
				return errors.Join(err, fmt.Errorf("Avahi finds %q", out))
			}
			return nil
		})
	}
	sees(0, 1, 2)
	in(func() error { return crowd.Stop(1) })
	sees(0, 2)
}
