//go:build integration

package onvif_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/discoverytest"
	"github.com/akri-go/akri/internal/handlers/multicast/multicasttest"
	"github.com/akri-go/akri/internal/handlers/onvif"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/peers"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		street := newStreet(t)
		sim := street.cameras(t, 3, simulator.Options{})
		all := sim.Cameras()
		return discoverytest.Fixture{
			Handler: onvif.New(onvif.Options{}),
			Request: discovery.Request{Details: "interval: 1s"},
			Present: uuids(all...),
			Unplug: func() []string {
				street.In(func() {
					if err := all[1].Stop(); err != nil { // with a Bye
						t.Error(err)
					}
				})
				return uuids(all[0], all[2])
			},
			Plug: func() []string {
				street.In(func() {
					if err := all[1].Start(); err != nil {
						t.Error(err)
					}
				})
				return uuids(all...)
			},
			Invalid: discovery.Request{Details: "uuids: 7"},
			AlsoInvalid: []discovery.Request{
				{Details: "discoveryTimeoutSeconds: -1"}, {Details: "other: 1"},
				{Properties: map[string][]byte{"device_credential_list": []byte("nonsense")}},
			},
			Nothing: &discovery.Request{Details: "uuids: {action: Include, items: [none-such]}"},
		}
	})
}

// What a camera says of itself is what brokers get, and all ways of it to want a
// user work.
func TestProperties(t *testing.T) {
	for _, auth := range []simulator.Auth{simulator.AuthNone, simulator.AuthUsernameToken, simulator.AuthDigest, simulator.AuthBoth} {
		t.Run(string(auth), func(t *testing.T) {
			leaktest.Check(t)
			street := newStreet(t)
			sim := street.cameras(t, 1, simulator.Options{Auth: auth, Algorithms: []string{simulator.SHA256, simulator.MD5}, LinkLocal: true})
			c := sim.Cameras()[0]
			c.SetFaults(simulator.Faults{Clock: -26 * time.Hour})
			w := watch(t, discovery.Request{Properties: map[string][]byte{
				"username_default": []byte("admin"), "password_default": []byte("akri"),
			}})
			r := w.devices(c)
			want := map[string]string{
				"ONVIF_DEVICE_SERVICE_URL": "http://10.99.0.11/onvif/device_service", "ONVIF_DEVICE_UUID": c.UUID,
				"ONVIF_DEVICE_IP_ADDRESS": "10.99.0.11", "ONVIF_DEVICE_MAC_ADDRESS": c.MAC.String(),
				"ONVIF_DEVICE_MANUFACTURER": c.Manufacturer, "ONVIF_DEVICE_MODEL": c.Model,
				"ONVIF_DEVICE_FIRMWARE_VERSION": c.Firmware, "ONVIF_DEVICE_SERIAL_NUMBER": c.SerialNumber,
				"ONVIF_DEVICE_HARDWARE_ID": c.HardwareID, "ONVIF_DEVICE_NAME": c.Name, "ONVIF_DEVICE_LOCATION": c.Location,
			}
			got := r.Devices[0].Properties
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s is %q, want %q", name, got[name], value)
				}
			}
			if len(got) != len(want) || r.Note != "" {
				t.Errorf("properties %v, note %q", got, r.Note)
			}
		})
	}
}

func TestComesAndGoes(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	sim := street.cameras(t, 3, simulator.Options{})
	one, two, three := sim.Cameras()[0], sim.Cameras()[1], sim.Cameras()[2]
	w := watch(t, discovery.Request{Details: "interval: 1s"})
	w.devices(one, two, three)

	street.In(func() { _ = two.Vanish() })
	w.devices(one, three)
	street.In(func() { _ = two.Start() })
	w.devices(one, two, three)
	// Another address, the same camera.
	street.In(func() {
		if err := three.Move(netip.MustParseAddr("10.99.0.18")); err != nil {
			t.Error(err)
		}
	})
	w.until(func(r discovery.Report) error {
		want := "http://10.99.0.18/onvif/device_service"
		if i := slices.IndexFunc(r.Devices, func(d discovery.Device) bool { return d.ID == three.UUID }); i < 0 ||
			r.Devices[i].Properties["ONVIF_DEVICE_SERVICE_URL"] != want || len(r.Devices) != 3 {
			return errNot(want)
		}
		return nil
	})
}

// One lost answer is no lost camera.
func TestMissedProbe(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	sim := street.cameras(t, 2, simulator.Options{})
	one, two := sim.Cameras()[0], sim.Cameras()[1]
	w := watch(t, discovery.Request{Details: "interval: 1s"})
	w.devices(one, two)
	before := one.Asked()["Probe"]
	two.SetFaults(simulator.Faults{Silent: true})
	w.until(func(discovery.Report) error { // a probe that it does not answer
		if one.Asked()["Probe"] < before+2 {
			return errNot("another probe")
		}
		return nil
	})
	two.SetFaults(simulator.Faults{})
	w.until(func(discovery.Report) error {
		if one.Asked()["Probe"] < before+6 {
			return errNot("more probes")
		}
		return nil
	})
	w.devices(one, two)
	if n := w.reports; n != 1 {
		t.Errorf("%d reports, want the first alone", n)
	}
}

// Cameras that no multicast reaches are probed by their addresses.
func TestUnicast(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	sim := street.cameras(t, 3, simulator.Options{})
	one, two, three := sim.Cameras()[0], sim.Cameras()[1], sim.Cameras()[2]
	watch(t, discovery.Request{Details: "interfaces: []\naddresses: [10.99.0.11]"}).devices(one)
	watch(t, discovery.Request{Details: "interfaces: []\nnetworks: [10.99.0.12/31]"}).devices(two, three)
	watch(t, discovery.Request{Details: "interfaces: [lo]"}).devices()
}

func TestFilters(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	sim := street.cameras(t, 2, simulator.Options{Auth: simulator.AuthDigest})
	one, two := sim.Cameras()[0], sim.Cameras()[1]
	user := map[string][]byte{"username_default": []byte("admin"), "password_default": []byte("akri")}
	for details, want := range map[string][]*simulator.Camera{
		"ipAddresses: {action: Include, items: [10.99.0.11]}":                  {one},
		"ipAddresses: {action: Exclude, items: [10.99.0.11]}":                  {two},
		"ipAddresses: {action: Include, items: [10.99.0.12/32]}":               {two},
		"macAddresses: {action: Include, items: ['" + two.MAC.String() + "']}": {two},
		"uuids: {action: Exclude, items: ['" + one.UUID + "']}":                {two},
		"uuids: {action: Include, items: ['urn:uuid:" + one.UUID + "']}":       {one},
		"scopes: {action: Include, items: ['onvif://www.onvif.org/type/no']}":  {},
		"scopes: {action: Exclude, items: ['onvif://www.onvif.org/type/no']}":  {one, two},
		"macAddresses: {items: []}":                                            {},
	} {
		t.Log(details)
		watch(t, discovery.Request{Details: details, Properties: user}).devices(want...)
	}
	// Without a user the MAC address is not known, and no filter on it passes.
	watch(t, discovery.Request{Details: "macAddresses: {action: Exclude, items: ['02:00:00:00:00:01']}"}).devices()
}

type errNot string

func (e errNot) Error() string { return "not yet: " + string(e) }

// A camera that has only an address of the link is found over IPv6, and its URL
// says on which interface it is.
func TestIPv6(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	var link netip.Addr
	street.In(func() {
		i, err := net.InterfaceByName("cable")
		if err != nil {
			t.Error(err)
			return
		}
		all, err := i.Addrs()
		if err != nil {
			t.Error(err)
		}
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				link = p.Addr()
			}
		}
	})
	sim := street.cameras(t, 0, simulator.Options{Addresses: []netip.Addr{link.WithZone("cable")}})
	c := sim.Cameras()[0]
	r := watch(t, discovery.Request{}).devices(c)
	want := "http://[" + link.String() + "%25eth0]/onvif/device_service"
	if p := r.Devices[0].Properties; p["ONVIF_DEVICE_SERVICE_URL"] != want || p["ONVIF_DEVICE_IP_ADDRESS"] != link.String() {
		t.Errorf("properties %v, want the URL %s", p, want)
	}
}

// Computers that announce themselves by WS-Discovery are no cameras: Debian's wsdd.
func TestComputers(t *testing.T) {
	var dir string
	multicasttest.Outside(t, func() { dir = peers.Unpack(t, "wsdd") })
	found, err := filepath.Glob(filepath.Join(dir, "usr", "*bin", "wsdd"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the package wsdd has the programs %q: %v", found, err)
	}
	street := newStreet(t)
	sim := street.cameras(t, 1, simulator.Options{})
	w := watch(t, discovery.Request{Details: "interval: 1s"})
	w.devices(sim.Cameras()...)
	cmd := exec.Command("python3", found[0], "-4", "-i", "cable", "-v")
	said := &logBook{}
	cmd.Stderr = said
	street.In(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // it says Bye
		_ = cmd.Wait()
		w.devices(sim.Cameras()...)
	}()
	w.until(func(r discovery.Report) error {
		if !strings.Contains(said.String(), "scheduling Hello message") {
			return errNot("a Hello of wsdd, which has said " + said.String())
		}
		return nil
	})
	before := sim.Cameras()[0].Asked()["Probe"]
	w.until(func(r discovery.Report) error { // and probes that it hears
		if sim.Cameras()[0].Asked()["Probe"] < before+4 {
			return errNot("more probes")
		}
		return nil
	})
	if r := w.devices(sim.Cameras()...); r.Note != "" {
		t.Errorf("note %q", r.Note)
	}
}
