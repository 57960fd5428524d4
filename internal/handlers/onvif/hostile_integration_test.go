//go:build integration

package onvif_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/multicast/multicasttest"
	"github.com/akri-go/akri/internal/handlers/onvif"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// trap is a server of this node that nobody may call.
func trap(t *testing.T, address string) *atomic.Int32 {
	t.Helper()
	if a := netip.MustParseAddrPort(address).Addr(); !a.IsLoopback() {
		multicasttest.IP(t, "addr", "add", a.String()+"/32", "dev", "lo")
		t.Cleanup(func() { multicasttest.IP(t, "addr", "del", a.String()+"/32", "dev", "lo") })
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	server := &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				calls.Add(1)
			}
		},
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return &calls
}

// names is a resolver of names that do not exist.
type names map[string]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if n[host] == "" {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{netip.MustParseAddr(n[host])}, nil
}

// A camera may say that it is anywhere. Only where its answer came from is called.
func TestForeignAddresses(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	traps := map[string]*atomic.Int32{}
	for _, a := range []string{"127.0.0.1:80", "169.254.169.254:80", "10.99.0.1:80", "10.77.0.7:80"} {
		traps[a] = trap(t, a)
	}
	sim := street.cameras(t, 5, simulator.Options{})
	all := sim.Cameras()
	for i, x := range []string{
		"http://127.0.0.1/onvif/device_service",
		"http://169.254.169.254/onvif/device_service",
		"http://metadata.example/onvif/device_service",
		"http://10.99.0.1/onvif/device_service http://[::1]/onvif/device_service",
		"http://10.77.0.7/onvif/device_service ftp://10.99.0.15/ http://10.99.0.15:0/ http://%zz/",
	} {
		all[i].SetFaults(simulator.Faults{XAddrs: strings.Fields(x)})
	}
	w := watchWith(t, discovery.Request{}, onvif.Options{Names: names{"metadata.example": "169.254.169.254"}})
	r := w.devices(all...)
	for i, c := range all {
		want := fmt.Sprintf("http://10.99.0.%d/onvif/device_service", 11+i)
		for _, d := range r.Devices {
			if got := d.Properties["ONVIF_DEVICE_SERVICE_URL"]; d.ID == c.UUID && got != want {
				t.Errorf("camera %d is reported at %s, want %s", i+1, got, want)
			}
		}
	}
	for a, calls := range traps {
		if n := calls.Load(); n > 0 {
			t.Errorf("%s was called %d times", a, n)
		}
	}
}

// A camera may be known by a name.
func TestNames(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	sim := street.cameras(t, 1, simulator.Options{})
	c := sim.Cameras()[0]
	c.SetFaults(simulator.Faults{XAddrs: []string{"http://camera.example/onvif/device_service"}})
	w := watchWith(t, discovery.Request{}, onvif.Options{Names: names{"camera.example": "10.99.0.11"}})
	r := w.devices(c)
	if got := r.Devices[0].Properties["ONVIF_DEVICE_SERVICE_URL"]; got != "http://camera.example/onvif/device_service" {
		t.Errorf("reported at %s", got)
	}
}

// What is wrong with a camera is said, with the camera and the remedy, and no
// other camera is affected.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name     string
		faults   simulator.Faults
		options  simulator.Options
		details  string
		password string
		reported bool
		words    []string
	}{
		{name: "bomb", faults: simulator.Faults{Bomb: true}, words: []string{"DTD", "exclude it by uuids"}},
		{name: "endless", faults: simulator.Faults{Endless: true}, words: []string{"more than 256 KiB", "firmware"}},
		{name: "redirect", faults: simulator.Faults{Redirect: "http://127.0.0.1/secret"},
			words: []string{`redirects to "http://127.0.0.1/secret"`, "set the address"}},
		{name: "garbage", faults: simulator.Faults{Garbage: true}, words: nil}, // not even its ProbeMatches can be read
		{name: "slow", faults: simulator.Faults{Slow: 4 * time.Second}, details: "discoveryTimeoutSeconds: 6", words: []string{"too slow"}},
		{name: "expired", faults: simulator.Faults{Expired: true}, options: simulator.Options{TLS: true},
			words: []string{"https://10.99.0.11", "certificate is good from", "insecureSkipTLSVerify"}},
		{name: "wrong password", options: simulator.Options{Auth: simulator.AuthDigest}, password: "wrong", reported: true,
			words: []string{`refuses the user "admin"`, "correct them in discoveryProperties"}},
		{name: "no password", options: simulator.Options{Auth: simulator.AuthUsernameToken}, reported: true,
			words: []string{"wants a user name", "give them in discoveryProperties"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			street := newStreet(t)
			calls := trap(t, "127.0.0.1:80")
			sim := street.cameras(t, 2, c.options)
			bad, good := sim.Cameras()[0], sim.Cameras()[1]
			bad.SetFaults(c.faults)
			req := discovery.Request{Details: c.details, Properties: map[string][]byte{
				"username_" + strings.ReplaceAll(good.UUID, "-", "_"): []byte("admin"),
				"password_" + strings.ReplaceAll(good.UUID, "-", "_"): []byte("akri"),
			}}
			if c.password != "" {
				req.Properties["username_default"], req.Properties["password_default"] = []byte("admin"), []byte(c.password)
			}
			if c.options.TLS {
				req.Properties["ca_certificates"] = authority(t, good.Address())
			}
			w := watch(t, req)
			want := []*simulator.Camera{good}
			if c.reported {
				want = append(want, bad)
			}
			w.devices(want...)
			if c.words != nil {
				w.note(append(c.words, "camera "+bad.UUID)...)
			}
			if log := w.log.String(); c.words != nil && !strings.Contains(log, bad.UUID) {
				t.Errorf("the log does not name the camera:\n%s", log)
			}
			if n := bad.Asked()["refused"]; n > 2 {
				t.Errorf("the camera refused %d calls: its accounts would be locked", n)
			}
			if n := calls.Load(); n > 0 {
				t.Errorf("this node was called %d times", n)
			}
		})
	}
}

// Ten thousand cameras that there are not cost little, and keep nobody out.
func TestFlood(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	sim := street.cameras(t, 3, simulator.Options{})
	bad, good, late := sim.Cameras()[0], sim.Cameras()[1], sim.Cameras()[2]
	street.In(func() { _ = late.Vanish() })
	bad.SetFaults(simulator.Faults{Flood: 10_000})
	w := watch(t, discovery.Request{})
	w.until(func(r discovery.Report) error {
		for _, d := range r.Devices {
			if d.ID == good.UUID {
				return nil
			}
		}
		return errNot(good.UUID)
	})
	street.In(func() { _ = late.Start() })
	w.until(func(r discovery.Report) error {
		if len(r.Devices) > 128+2 {
			t.Fatalf("%d devices", len(r.Devices))
		}
		for _, d := range r.Devices {
			if d.ID == late.UUID {
				return nil
			}
		}
		return errNot(late.UUID)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dropped["flood"]+w.dropped["full"] == 0 || !strings.Contains(w.log.String(), "10.99.0.11") {
		t.Errorf("dropped %v, and the log is\n%s", w.dropped, w.log)
	}
}

// Two cameras at one address are two; a good-bye from elsewhere is none.
func TestOneAddress(t *testing.T) {
	leaktest.Check(t)
	street := newStreet(t)
	sim := street.cameras(t, 1, simulator.Options{Count: 2})
	one, two := sim.Cameras()[0], sim.Cameras()[1]
	w := watch(t, discovery.Request{})
	w.devices(one, two)
	bye := func(from string) {
		street.In(func() {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.IPv4(239, 255, 255, 250), Port: 3702})
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, `<Envelope><Header><MessageID>urn:uuid:%s</MessageID></Header>`+
				`<Body><Bye><EndpointReference><Address>%s</Address></EndpointReference></Bye></Body></Envelope>`, from, one.Reference())
		})
	}
	bye("10.99.0.2")  // not believed
	bye("10.99.0.11") // believed, until the next probe
	w.devices(two)
	if !strings.Contains(w.log.String(), "from=10.99.0.11") || strings.Contains(w.log.String(), "from=10.99.0.2") {
		t.Errorf("the log is\n%s", w.log)
	}
	w.devices(one, two)
}

// authority returns the certificate of who made those of the cameras, in PEM.
func authority(t *testing.T, address netip.AddrPort) []byte {
	t.Helper()
	conn, err := tls.Dial("tcp", address.String(), &tls.Config{InsecureSkipVerify: true}) // to see whom it should trust
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chain := conn.ConnectionState().PeerCertificates
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1].Raw})
}
