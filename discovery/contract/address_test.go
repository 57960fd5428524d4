package contract

import (
	"strings"
	"testing"

	pb "github.com/akri-go/akri/api/discovery/v0"
)

const (
	uds     = pb.RegisterDiscoveryHandlerRequest_UDS
	network = pb.RegisterDiscoveryHandlerRequest_NETWORK
)

func TestParseAddress(t *testing.T) {
	for _, test := range []struct {
		kind     pb.RegisterDiscoveryHandlerRequest_EndpointType
		endpoint string
		want     string // "" if it is to be refused
	}{
		{uds, "/var/lib/akri/udev.sock", "/var/lib/akri/udev.sock"},
		{uds, "/var/lib/akri//a/./udev.sock", "/var/lib/akri/a/udev.sock"},
		{uds, "", ""},
		{uds, "udev.sock", ""},
		{uds, "unix:///var/lib/akri/udev.sock", ""},
		{uds, "/var/lib/akri", ""},
		{uds, "/var/lib/akri/", ""},
		{uds, "/var/lib/akrix/udev.sock", ""},
		{uds, "/var/lib/akri/../kubelet/kubelet.sock", ""},
		{uds, "/run/containerd/containerd.sock", ""},
		{uds, "/var/lib/akri/agent-registration.sock", ""},
		{uds, "/var/lib/akri/./agent-registration.sock", ""},
		{uds, "/var/lib/akri/" + strings.Repeat("x", 100), ""},
		{uds, "/var/lib/akri/a\nb", ""},
		{uds, "http://10.0.0.1:10000", ""},

		{network, "http://10.42.0.7:10000", "http://10.42.0.7:10000"},
		{network, "http://10.42.0.7:10000/", "http://10.42.0.7:10000"},
		{network, "http://[fd00::7]:10000", "http://[fd00::7]:10000"},
		{network, "http://Handler.Default.svc:80", "http://handler.default.svc:80"},
		{network, "https://10.42.0.7:10000", ""},
		{network, "10.42.0.7:10000", ""},
		{network, "http://10.42.0.7", ""},
		{network, "http://10.42.0.7:", ""},
		{network, "http://10.42.0.7:0", ""},
		{network, "http://10.42.0.7:65536", ""},
		{network, "http://10.42.0.7:-1", ""},
		{network, "http://:10000", ""},
		{network, "http://user:secret@10.42.0.7:10000", ""},
		{network, "http://10.42.0.7:10000/path", ""},
		{network, "http://10.42.0.7:10000?", ""},
		{network, "http://10.42.0.7:10000#x", ""},
		{network, "http://10.42.0.7:10000 ", ""},
		{network, "file:///etc/passwd", ""},
		{network, "http://" + strings.Repeat("a", 600) + ":1", ""},
		{network, "/var/lib/akri/udev.sock", ""},
		{7, "/var/lib/akri/udev.sock", ""},
	} {
		a, err := ParseAddress(test.kind, test.endpoint, "/var/lib/akri")
		switch {
		case test.want == "" && err == nil:
			t.Errorf("%v %q was accepted as %s", test.kind, test.endpoint, a)
		case test.want != "" && err != nil:
			t.Errorf("%v %q: %v", test.kind, test.endpoint, err)
		case err == nil && a.String() != test.want:
			t.Errorf("%v %q: got %s, want %s", test.kind, test.endpoint, a, test.want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add(int32(0), "/var/lib/akri/udev.sock")
	f.Add(int32(1), "http://[fd00::7%25eth0]:10000")
	f.Fuzz(func(t *testing.T, kind int32, endpoint string) {
		a, err := ParseAddress(pb.RegisterDiscoveryHandlerRequest_EndpointType(kind), endpoint, "/var/lib/akri")
		if err != nil {
			if len(err.Error()) > 1024 {
				t.Errorf("a text of %d bytes", len(err.Error()))
			}
			return
		}
		if a.Network == "unix" && (!strings.HasPrefix(a.Dial, "/var/lib/akri/") || strings.Contains(a.Dial, "/../")) {
			t.Errorf("%q leads to %q", endpoint, a.Dial)
		}
		again, err := ParseAddress(pb.RegisterDiscoveryHandlerRequest_EndpointType(kind), a.String(), "/var/lib/akri")
		if err != nil || again != a {
			t.Errorf("%q became %q, which becomes %q, %v", endpoint, a, again, err)
		}
	})
}
