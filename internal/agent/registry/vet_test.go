package registry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/discovery/hostpath"
)

func testRules() contract.Rules {
	paths, err := hostpath.New(hostpath.Options{Mounts: []string{"/srv"}, Root: "/nowhere"})
	if err != nil {
		panic(err)
	}
	return contract.Rules{Limits: contract.DefaultLimits(), Paths: paths}
}

func mount(host, container string) discovery.Device {
	return discovery.Device{ID: "a", Mounts: []discovery.Mount{{HostPath: host, ContainerPath: container}}}
}

func node(host, container, permissions string) discovery.Device {
	return discovery.Device{ID: "a", DeviceSpecs: []discovery.DeviceSpec{{HostPath: host, ContainerPath: container, Permissions: permissions}}}
}

func property(key, value string) discovery.Device {
	return discovery.Device{ID: "a", Properties: map[string]string{key: value}}
}

func TestVetDevice(t *testing.T) {
	many := func(n, size int) map[string]string {
		m := make(map[string]string)
		for i := range n {
			m[fmt.Sprintf("K%d", i)] = strings.Repeat("v", size)
		}
		return m
	}
	for _, test := range []struct {
		name   string
		device discovery.Device
		want   string // part of the reason, "" if the device is good
	}{
		{"plain", discovery.Device{ID: "a"}, ""},
		{"id with slashes", discovery.Device{ID: "/sys/devices/pci0000:00/0000:00:1f.2"}, ""},
		{"id of other letters", discovery.Device{ID: "Kamera Tür 3 ☃"}, ""},
		{"longest id", discovery.Device{ID: strings.Repeat("x", 1024)}, ""},
		{"id too long", discovery.Device{ID: strings.Repeat("x", 10<<10)}, "10240 bytes"},
		{"no id", discovery.Device{}, "no id"},
		{"newline in id", discovery.Device{ID: "a\nb"}, "control characters"},
		{"NUL in id", discovery.Device{ID: "a\x00"}, "control characters"},
		{"C1 control in id", discovery.Device{ID: "a\u0085"}, "control characters"},
		{"id not UTF-8", discovery.Device{ID: "a\xff"}, "not UTF-8"},

		{"property", property("UDEV_DEVNODE", "/dev/video0"), ""},
		{"property of several lines", property("A", "a\nb"), ""},
		{"property names", property("a.b-c_D9", ""), ""},
		{"property without name", property("", "x"), "environment variable"},
		{"property name with =", property("A=B", "x"), "environment variable"},
		{"property name with space", property("A B", "x"), "environment variable"},
		{"property name with digit first", property("9A", "x"), "environment variable"},
		{"property name too long", property(strings.Repeat("A", 254), "x"), "254 bytes"},
		{"a property by which programs are loaded", property("LD_PRELOAD", "/x.so"), "change how programs run"},
		{"in small letters", property("https_proxy", "http://x"), "change how programs run"},
		{"largest value", property("A", strings.Repeat("v", 32<<10)), ""},
		{"value too large", property("A", strings.Repeat("v", 32<<10+1)), "32769 bytes"},
		{"NUL in value", property("A", "a\x00b"), "NUL"},
		{"value not UTF-8", property("A", "\xff"), "not UTF-8"},
		{"most properties", discovery.Device{ID: "a", Properties: many(64, 1)}, ""},
		{"too many properties", discovery.Device{ID: "a", Properties: many(65, 1)}, "65 properties"},
		{"properties too large together", discovery.Device{ID: "a", Properties: many(10, 30<<10)}, "in all"},

		{"mount", mount("/srv/x", "/x"), ""},
		{"mount elsewhere", mount("/etc", "/x"), "not in an allowed folder"},
		{"device node", node("/dev/video0", "/dev/video0", "rwm"), ""},
		{"what is not a device node", node("/dev/fd/12", "/dev/x", "rwm"), "differs between processes"},

		{"too many mounts", discovery.Device{ID: "a", Mounts: make([]discovery.Mount, 65)}, "65 mounts"},
		{"too many device nodes", discovery.Device{ID: "a", DeviceSpecs: make([]discovery.DeviceSpec, 65)}, "65 device nodes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			devices := []discovery.Device{test.device, {ID: "neighbour"}}
			good, refused, err := vet(testRules(), devices)
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if refused != nil || len(good) != 2 {
					t.Errorf("refused: %v", refused)
				}
				return
			}
			if refused == nil || !strings.Contains(refused.Error(), test.want) {
				t.Errorf("refused = %v, want something with %q", refused, test.want)
			}
			if len(good) != 1 || good[0].ID != "neighbour" {
				t.Errorf("left: %v, want the neighbour alone", good)
			}
		})
	}
}

func TestVetCleansPaths(t *testing.T) {
	given := node("/dev/./x", "//y", "r")
	good, refused, err := vet(testRules(), []discovery.Device{given})
	if want := []discovery.Device{node("/dev/x", "/y", "r")}; err != nil || refused != nil || !discovery.Same(good, want) {
		t.Errorf("got %+v, %v, %v; want %+v", good, refused, err, want)
	}
	if given.DeviceSpecs[0].HostPath != "/dev/./x" {
		t.Error("what the handler holds was changed")
	}
}

func TestVetList(t *testing.T) {
	r := testRules()
	list := make([]discovery.Device, 100_000)
	for i := range list {
		list[i].ID = fmt.Sprint(i)
	}
	if good, _, err := vet(r, list); err == nil || good != nil || !strings.Contains(err.Error(), "100000 devices") {
		t.Errorf("100,000 devices: %d good, error %v", len(good), err)
	}
	if good, refused, err := vet(r, list[:10_000]); err != nil || refused != nil || len(good) != 10_000 {
		t.Errorf("10,000 devices: %d good, %v, %v", len(good), refused, err)
	}

	good, refused, err := vet(r, []discovery.Device{
		{ID: "a", Properties: map[string]string{"N": "1"}}, {ID: "b"}, {ID: "a", Properties: map[string]string{"N": "2"}},
	})
	if err != nil || len(good) != 2 || good[0].Properties["N"] != "1" {
		t.Errorf("duplicates: left %v, error %v", good, err)
	}
	if refused == nil || !strings.Contains(refused.Error(), `"a": is listed more than once`) {
		t.Errorf("duplicates: refused = %v", refused)
	}

	bad := make([]discovery.Device, 5000)
	for i := range bad {
		bad[i].ID = strings.Repeat("\n", 900) + fmt.Sprint(i)
	}
	_, refused, _ = vet(r, bad)
	if text := refused.Error(); len(text) > 4096 || !strings.HasSuffix(text, "and 4995 more") || strings.Contains(text, "\n") {
		t.Errorf("the text has %d bytes: %.200s", len(text), text)
	}
}

func TestDecode(t *testing.T) {
	r := testRules()
	encode := func(devices ...*pb.Device) []byte {
		raw, err := proto.Marshal(&pb.DiscoverResponse{Devices: devices})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good, refused, err := decoded(r, encode(&pb.Device{
		Id:          "a",
		Properties:  map[string]string{"K": "v"},
		Mounts:      []*pb.Mount{{ContainerPath: "/c", HostPath: "/srv/h", ReadOnly: true}},
		DeviceSpecs: []*pb.DeviceSpec{{ContainerPath: "/c", HostPath: "/dev/h", Permissions: "rw"}},
	}, &pb.Device{Id: "b"}))
	want := []discovery.Device{{
		ID:          "a",
		Properties:  map[string]string{"K": "v"},
		Mounts:      []discovery.Mount{{ContainerPath: "/c", HostPath: "/srv/h", ReadOnly: true}},
		DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: "/c", HostPath: "/dev/h", Permissions: "rw"}},
	}, {ID: "b"}}
	if err != nil || refused != nil || !discovery.Same(good, want) {
		t.Errorf("got %+v, %v, %v", good, refused, err)
	}
	if good, refused, err := decoded(r, nil); err != nil || refused != nil || good == nil || len(good) != 0 {
		t.Errorf("empty message: %v, %v, %v; want an empty list", good, refused, err)
	}

	// 8 million devices in 16 MiB.
	empty := strings.Repeat("\x0a\x00", 8<<20)
	if _, err := decode(r, []byte(empty)); err == nil || !strings.Contains(err.Error(), "8388608 devices") {
		t.Errorf("many empty devices: %v", err)
	}
	rest := encode(&pb.Device{Id: "m"}, &pb.Device{Id: "b"})
	huge := append([]byte{0x0a}, appendVarint(2<<20)...)
	huge = append(huge, strings.Repeat("\x1a\x00", 1<<20)...)
	good, refused, err = decoded(r, append(huge, rest...))
	if err != nil || len(good) != 2 || refused == nil || !strings.Contains(refused.Error(), "device 1 of the list") || !strings.Contains(refused.Error(), "1048576 mounts") {
		t.Errorf("many empty mounts: %v, %v, %v", good, refused, err)
	}
	notText := []byte("\x0a\x03\x0a\x01\xff")
	if good, refused, err := decoded(r, append(notText, encode(&pb.Device{Id: "b"})...)); err != nil || len(good) != 1 || refused == nil {
		t.Errorf("id not UTF-8: %v, %v, %v", good, refused, err)
	}
	if _, err := decode(r, []byte("\x0a\x7f")); err == nil {
		t.Error("a cut message was accepted")
	}
}

func decoded(r contract.Rules, raw []byte) (good []discovery.Device, refused, err error) {
	l, err := decode(r, raw)
	return l.devices, l.refused, err
}

// What has departed is read with limits of its own.
func TestDecodeDeparted(t *testing.T) {
	r := testRules()
	given := []string{"a", strings.Repeat("x", r.IDBytes+1), "b"}
	raw, err := proto.Marshal(&pb.DiscoverResponse{Departed: given})
	if err != nil {
		t.Fatal(err)
	}
	if l, err := decode(r, raw); err != nil || !slices.Equal(l.departed, []string{"a", "b"}) {
		t.Errorf("%d bytes: %q, %v", len(raw), l.departed, err)
	}
	many := strings.Repeat("\x82\x01\x00", 1<<20) // field 16, empty
	if l, err := decode(r, []byte(many)); err != nil || len(l.departed) > r.Devices {
		t.Errorf("%d ids are kept, %v", len(l.departed), err)
	}
	if digestOf(nil, []string{"a", "b"}) != digestOf(nil, []string{"b", "a"}) || digestOf(nil, []string{"a"}) == digestOf(nil, nil) {
		t.Error("the digest of a list knows nothing of what has departed")
	}
}

func appendVarint(n uint64) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func FuzzDecode(f *testing.F) {
	raw, err := proto.Marshal(&pb.DiscoverResponse{Devices: []*pb.Device{{
		Id: "a", Properties: map[string]string{"K": "v"},
		Mounts:      []*pb.Mount{{ContainerPath: "/c", HostPath: "/srv/../h"}},
		DeviceSpecs: []*pb.DeviceSpec{{ContainerPath: "/c", HostPath: "/dev/h", Permissions: "rw"}},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("\x0a\x00\x0a\x7f"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := testRules()
		good, refused, err := decoded(r, raw)
		if err != nil {
			return
		}
		if refused != nil && len(refused.Error()) > 16<<10 {
			t.Errorf("a text of %d bytes", len(refused.Error()))
		}
		again, refused, err := vet(r, good)
		if err != nil || refused != nil || !discovery.Same(good, again) {
			t.Errorf("what was vetted does not pass: %v, %v", refused, err)
		}
		for _, d := range good {
			for _, m := range d.Mounts {
				if strings.Contains(m.HostPath, "..") && strings.Contains(m.HostPath+"/", "/../") {
					t.Errorf("mount of %q", m.HostPath)
				}
			}
		}
	})
}
