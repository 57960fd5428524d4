package udev

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/udev/details"
)

func specs(permissions string, nodes ...string) (s []discovery.DeviceSpec) {
	for _, n := range nodes {
		s = append(s, discovery.DeviceSpec{ContainerPath: n, HostPath: n, Permissions: permissions})
	}
	return s
}

type props = map[string]string

func TestPlan(t *testing.T) {
	const host = "/devices/pci0000:00/0000:00:14.0"
	for _, tt := range []struct {
		name  string
		found []found
		d     details.Details
		p     passthrough
		want  []discovery.Device
	}{
		{"nothing", nil, details.Details{}, passthrough{}, []discovery.Device{}},
		{"one by one", []found{{devpath: "/devices/a", devnode: "/dev/a"}, {devpath: "/devices/a/b", devnode: "/dev/b"}, {devpath: "/devices/c"}},
			details.Details{Permissions: "r"}, passthrough{}, []discovery.Device{
				{ID: "/devices/a", Properties: props{"UDEV_DEVPATH": "/devices/a", "UDEV_DEVNODE": "/dev/a"}, DeviceSpecs: specs("r", "/dev/a")},
				{ID: "/devices/a/b", Properties: props{"UDEV_DEVPATH": "/devices/a/b", "UDEV_DEVNODE": "/dev/b"}, DeviceSpecs: specs("r", "/dev/b")},
				{ID: "/devices/c", Properties: props{"UDEV_DEVPATH": "/devices/c"}},
			}},
		{"groups are by elements", []found{{devpath: host + "/1-1", devnode: "/dev/bus/usb/001/002"}, {devpath: host + "/1-1/x/video0", devnode: "/dev/video0"},
			{devpath: host + "/1-1/y"}, {devpath: host + "/1-10", devnode: "/dev/bus/usb/001/003"}},
			details.Details{Permissions: "rw", GroupRecursive: true}, passthrough{}, []discovery.Device{
				{ID: host + "/1-1", Properties: props{"UDEV_DEVPATH": host + "/1-1", "UDEV_DEVNODE_0": "/dev/bus/usb/001/002", "UDEV_DEVNODE_1": "/dev/video0"},
					DeviceSpecs: specs("rw", "/dev/bus/usb/001/002", "/dev/video0")},
				{ID: host + "/1-10", Properties: props{"UDEV_DEVPATH": host + "/1-10", "UDEV_DEVNODE_0": "/dev/bus/usb/001/003"}, DeviceSpecs: specs("rw", "/dev/bus/usb/001/003")},
			}},
		{"bus addresses", []found{{devpath: host + "/0000:01:00.0"}, {devpath: host + "/usb1/1-2", devnode: "/dev/bus/usb/001/010"}},
			details.Details{Permissions: "rwm"}, passthrough{resource: "akri.sh/my-usb.x"}, []discovery.Device{
				{ID: host + "/0000:01:00.0", Properties: props{"UDEV_DEVPATH": host + "/0000:01:00.0", "PCI_RESOURCE_AKRI_SH_MY-USB_X": "0000:01:00.0"}},
				{ID: host + "/usb1/1-2", Properties: props{"UDEV_DEVPATH": host + "/usb1/1-2", "UDEV_DEVNODE": "/dev/bus/usb/001/010",
					"USB_RESOURCE_AKRI_SH_MY-USB_X": "1:10"}, DeviceSpecs: specs("rwm", "/dev/bus/usb/001/010")},
			}},
		{"bus addresses in groups", []found{{devpath: host + "/usb1", devnode: "/dev/bus/usb/001/001"}, {devpath: host + "/usb1/1-2", devnode: "/dev/bus/usb/001/010"}},
			details.Details{Permissions: "rwm", GroupRecursive: true}, passthrough{resource: "u"}, []discovery.Device{
				{ID: host + "/usb1", Properties: props{"UDEV_DEVPATH": host + "/usb1", "UDEV_DEVNODE_0": "/dev/bus/usb/001/001", "UDEV_DEVNODE_1": "/dev/bus/usb/001/010",
					"USB_RESOURCE_U_0": "1:1", "USB_RESOURCE_U_1": "1:10"}, DeviceSpecs: specs("rwm", "/dev/bus/usb/001/001", "/dev/bus/usb/001/010")},
			}},
		{"vfio", []found{{devpath: host, iommuGroup: "7"}, {devpath: host + "/x", iommuGroup: "7"}, {devpath: host + "/y", devnode: "/dev/y", iommuGroup: "8"}},
			details.Details{Permissions: "r", GroupRecursive: true}, passthrough{vfio: true}, []discovery.Device{
				{ID: host, Properties: props{"UDEV_DEVPATH": host, "UDEV_DEVNODE_0": "/dev/y"},
					DeviceSpecs: append(specs("r", "/dev/y"), specs("rwm", "/dev/vfio/7", "/dev/vfio/vfio", "/dev/vfio/8")...)},
			}},
	} {
		if d := cmp.Diff(tt.want, plan(tt.found, nil, tt.d, tt.p).Devices); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, d)
		}
	}
}

func TestCompareDevpaths(t *testing.T) {
	want := []string{"/a", "/a/b", "/a/b/c", "/a/z", "/a!b", "/a-1", "/a-1/x", "/a-10", "/a.b", "/b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareDevpaths)
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if compareDevpaths("/a", "/a") != 0 {
		t.Error("a path is not equal to itself")
	}
}

func TestAddresses(t *testing.T) {
	for node, want := range map[string]string{
		"/dev/bus/usb/001/010": "1:10", "/dev/bus/usb/1/5": "1:5", "/dev/bus/usb/a/b": "", "/dev/bus/usb/1": "",
		"/dev/bus/usb/1/2/3": "", "/dev/video0": "", "": "",
	} {
		if got := usbAddress(node); got != want {
			t.Errorf("%s: %s", node, got)
		}
	}
	for path, want := range map[string]string{
		"/devices/pci0000:00/0000:00:01.0/0000:01:00.0": "0000:01:00.0", "/devices/pci0000:00/0000:00:01.0/drm/card0": "0000:00:01.0",
		"/devices/pci0000:00/0000:00:14.0/usb1/1-2": "", "/devices/virtual/mem/null": "", "/devices/pci0000:00": "", "/devices/x:y:z.0": "",
		"/devices/0000:00:.0": "", "/devices/LNXSYSTM:00": "",
	} {
		if got := pciAddress(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestParseRequest(t *testing.T) {
	req := discovery.Request{Details: `udevRules: ['KERNEL=="a"']`, Properties: map[string][]byte{"devicePluginResourceName": []byte("a.b/c"), "vfioPassthrough": []byte("TRUE"), "else": nil}}
	if _, p, err := parseRequest(req); err != nil || p != (passthrough{"a.b/c", true}) {
		t.Errorf("got %+v, %v", p, err)
	}
	req.Properties = map[string][]byte{"devicePluginResourceName": nil, "vfioPassthrough": []byte("1")}
	if _, p, err := parseRequest(req); err != nil || p != (passthrough{}) {
		t.Errorf("got %+v, %v", p, err)
	}
	req.Properties = map[string][]byte{"devicePluginResourceName": []byte("a=b")}
	if _, _, err := parseRequest(req); !discovery.IsInvalid(err) {
		t.Errorf("got %v", err)
	}
	if _, _, err := parseRequest(discovery.Request{Details: "x"}); !discovery.IsInvalid(err) {
		t.Errorf("got %v", err)
	}
}
