package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDevices(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := devices([]string{
		"PATH=/bin", "PASSWORD=secret", "KUBERNETES_PORT=tcp://1.2.3.4",
		"UDEV_DEVNODE=/dev/null", "UDEV_DEVNODE_0AB12F=/dev/null", "UDEV_DEVPATH_0AB12F=/devices/null", "WIDTH_0AB12F=640=x",
		"UDEV_DEVNODE_0_FFFFFF=/dev/null", "UDEV_DEVNODE_1_FFFFFF=" + text, "UDEV_DEVNODE_2_FFFFFF=/zz/no-such",
		"lower_abcdef=1",
	})
	null := Node{Path: "/dev/null", Kind: "character", Major: 1, Minor: 3, Opened: true}
	want := []Device{
		{Hash: "0AB12F", Properties: map[string]string{"UDEV_DEVNODE": "/dev/null", "UDEV_DEVPATH": "/devices/null", "WIDTH": "640=x"}, Nodes: []Node{null}},
		{Hash: "FFFFFF", Properties: map[string]string{"UDEV_DEVNODE_0": "/dev/null", "UDEV_DEVNODE_1": text, "UDEV_DEVNODE_2": "/zz/no-such"},
			Nodes: []Node{null, {Path: text, Kind: "other", Opened: true}, {Path: "/zz/no-such", Error: "no such file or directory"}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := devices([]string{"PATH=/bin"}); got == nil || len(got) != 0 {
		t.Errorf("without devices: %v; JSON readers want an empty list", got)
	}
}

func TestHandler(t *testing.T) {
	h := handler([]string{"DEBUG_ECHO_DESCRIPTION_00AA11=foo", "TOKEN=secret"}, Broker{Pod: "p"})
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	w := get("/api/devices")
	var a Answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Broker.Pod != "p" || len(a.Devices) != 1 || a.Devices[0].Properties["DEBUG_ECHO_DESCRIPTION"] != "foo" {
		t.Errorf("%s", w.Body)
	}
	if strings.Contains(w.Body.String(), "secret") {
		t.Error("shows what is not of a device")
	}
	if w := get("/"); w.Code != 200 || !strings.Contains(w.Body.String(), "Akri") {
		t.Errorf("page: %d", w.Code)
	}
	for path, code := range map[string]int{"/healthz": 200, "/etc/passwd": 404} {
		if w := get(path); w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
	}
}
