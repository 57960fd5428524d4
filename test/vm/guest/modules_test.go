package guest

import (
	"strings"
	"testing"
)

func TestInOrder(t *testing.T) {
	m := &modules{files: map[string]string{}, builtin: map[string]bool{"mc": true}}
	needs := map[string]string{"vivid": "videodev,v4l2-tpg", "v4l2_tpg": "videodev", "videodev": "mc", "ftdi_sio": "usbserial", "usbserial": "usbcore",
		"usbcore": "", "a": "b", "b": "a", "lost": "nowhere"}
	for name := range needs {
		m.files[name] = name
	}
	m.needs = func(file string) ([]string, error) {
		return dependsIn([]byte("name=x\x00depends=" + needs[file] + "\x00")), nil
	}
	for _, tt := range []struct{ names, want, fault string }{
		{"", "", ""},
		{"mc", "", ""},
		{"vivid", "videodev v4l2_tpg vivid", ""},
		{"ftdi_sio vivid usbcore", "usbcore usbserial ftdi_sio videodev v4l2_tpg vivid", ""},
		{"lost", "", "lost: the kernel has no module nowhere"},
		{"a", "", "a: b: module a needs itself"},
	} {
		got, err := m.inOrder(strings.Fields(tt.names))
		if strings.Join(got, " ") != tt.want || (err == nil) != (tt.fault == "") || err != nil && err.Error() != tt.fault {
			t.Errorf("%s: %v, %v; want %s, %s", tt.names, got, err, tt.want, tt.fault)
		}
	}
}

func TestModuleName(t *testing.T) {
	for file, want := range map[string]string{"kernel/drivers/usb/host/xhci-pci.ko": "xhci_pci", "/a/v4l2-tpg.ko": "v4l2_tpg", "vivid": "vivid"} {
		if got := moduleName(file); got != want {
			t.Errorf("%s: %s", file, got)
		}
	}
}
