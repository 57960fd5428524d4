package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
)

func TestParse(t *testing.T) {
	const service = "ONVIF_DEVICE_SERVICE_URL_0AB12F=http://10.0.0.7/onvif/device_service"
	for _, c := range []struct {
		environ string
		want    string // name, kinds, width, per second, user, directories, ports; or the error
	}{
		{service, "http://10.0.0.7/onvif/device_service [rtsp snapshot] 640 5 nobody [] 8083 8080"},
		{service + " ONVIF_DEVICE_UUID_0AB12F=urn:uuid:AB-1", "ab-1 [rtsp snapshot] 640 5 nobody [] 8083 8080"},
		{service + " ONVIF_DEVICE_UUID_0AB12F=ab-1 ONVIF_DEVICE_NAME_0AB12F=Gate", "Gate [rtsp snapshot] 640 5 nobody [] 8083 8080"},
		{"ONVIF_DEVICE_SERVICE_URL=http://h/x", "http://h/x [rtsp snapshot] 640 5 nobody [] 8083 8080"},
		{service + " CAMERA_SOURCE=snapshot RESOLUTION_WIDTH=320 FRAMES_PER_SECOND=30 CAMERA_USERNAME=u PORT=1 METRICS_PORT=2 CREDENTIAL_DIRECTORY=/a CREDENTIAL_CONFIGMAP_DIRECTORY=/b",
			"http://10.0.0.7/onvif/device_service [snapshot] 320 30 u [/a /b] 1 2"},
		{"RTSP_URL=rtsp://u:p@h:1/x", "rtsp://h:1/x [rtsp snapshot] 640 5 nobody [] 8083 8080"},
		{"SNAPSHOT_URL=https://h/x", "https://h/x [rtsp snapshot] 640 5 nobody [] 8083 8080"},
		// Upstream's variable, which says nothing here.
		{service + " FRAME_BUFFER_SIZE=2 ONVIF_DEVICE_SERVICE_URL_FFFFFF=http://later/", "http://10.0.0.7/onvif/device_service [rtsp snapshot] 640 5 nobody [] 8083 8080"},
		{"", "there is no camera: the broker needs ONVIF_DEVICE_SERVICE_URL_<HASH>"},
		{"RTSP_URL=rtsp://u:hunter2@", "RTSP_URL is no URL with a host and rtsp or rtsps"},
		{"RTSP_URL=http://h/", "RTSP_URL is no URL with a host and rtsp or rtsps"},
		{service + " CAMERA_SOURCE=usb", "CAMERA_SOURCE=usb: want auto, rtsp or snapshot"},
		{service + " FRAMES_PER_SECOND=0", `FRAMES_PER_SECOND: "0": want a number from 1 to 60`},
		{service + " INSECURE_SKIP_TLS_VERIFY=perhaps", "INSECURE_SKIP_TLS_VERIFY=perhaps: want true or false"},
	} {
		s, err := parse(strings.Fields(c.environ))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			user := "nobody"
			if s.user != nil {
				user = s.user.Username
			}
			got = strings.Join([]string{s.name(), text(s.kinds), text(s.width), text(s.perSecond), user, text(s.directories), s.port, s.probesPort}, " ")
		}
		if !strings.HasPrefix(got, c.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s:\n%s, want\n%s", c.environ, got, c.want)
		}
	}
}

func TestWaysPlan(t *testing.T) {
	all := []profile{{"a", "H264", 1920, 1080}, {"b", "JPEG", 1280, 720}, {"c", "jpeg", 640, 360}}
	for _, c := range []struct {
		name     string
		profiles []profile
		settings settings
		want     string
	}{
		{"streams with JPEG, then snapshots; the nearest size first", all, settings{width: 640, height: 480, kinds: []kind{byRTSP, bySnapshot}},
			`[rtsp of profile "c" rtsp of profile "b" snapshot of profile "c" snapshot of profile "b" snapshot of profile "a"]`},
		{"a large picture", all, settings{width: 4000, height: 3000, kinds: []kind{bySnapshot}},
			`[snapshot of profile "a" snapshot of profile "b" snapshot of profile "c"]`},
		{"H.264 alone", all[:1], settings{width: 640, height: 480, kinds: []kind{byRTSP, bySnapshot}}, `[snapshot of profile "a"]`},
		{"streams alone, of H.264", all[:1], settings{kinds: []kind{byRTSP}}, "its streams are H264, which this broker does not decode: set one of its profiles to JPEG"},
		{"nothing", nil, settings{kinds: []kind{byRTSP, bySnapshot}}, "it has no profiles"},
		{"very many", slices.Repeat(all[1:2], 1000), settings{kinds: []kind{byRTSP}}, text(slices.Repeat([]way{{byRTSP, "b"}}, maxWays))},
	} {
		list, err := ways(c.profiles, c.settings)
		got := text(list)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Whatever a camera says, its own address is called.
func TestMoved(t *testing.T) {
	for said, want := range map[string]string{
		"http://192.168.1.2/snap?x=1":            "http://10.0.0.7:80/snap?x=1",
		"rtsp://camera.local/stream":             "rtsp://10.0.0.7:554/stream",
		"rtsp://u:p@169.254.169.254:8554/stream": "rtsp://10.0.0.7:8554/stream",
		"https://[::1]:8443/x":                   "https://10.0.0.7:8443/x",
		"file:///etc/passwd":                     "no URL",
		"/snapshot":                              "no URL",
		"http://h:99999/":                        "no port",
		"http://h:0/":                            "no port",
		"":                                       "no URL",
		"://":                                    "no URL",
	} {
		u, err := moved(said, netip.MustParseAddr("10.0.0.7"))
		got := text(u)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", said, got, want)
		}
	}
	if u, err := moved("http://h/x", netip.MustParseAddr("fe80::1%eth0")); err != nil || u.Host != "[fe80::1]:80" {
		t.Errorf("%v, %v", u, err)
	}
}

func TestCredentialFiles(t *testing.T) {
	dir := t.TempDir()
	for name, value := range map[string]string{"username_default": "u", "password_default": "p", ".hidden": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	known, err := readCredentials([]string{dir})
	if u := known.Of("any"); err != nil || u == nil || u.Username != "u" || u.Password != "p" {
		t.Errorf("%v, %v", u, err)
	}
	if known, err := readCredentials(nil); err != nil || known.Of("any") != nil {
		t.Errorf("without folders: %v", err)
	}
	if _, err := readCredentials([]string{filepath.Join(dir, "none")}); err == nil {
		t.Error("a folder that is not there")
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readCredentials([]string{dir}); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a large file: %v", err)
	}
}

func TestWithoutBasic(t *testing.T) {
	r := &base.Response{Header: base.Header{"WWW-Authenticate": {`Basic realm="x"`, `Digest realm="x", nonce="y"`, "Dig"}}}
	withoutBasic(r)
	if got := text(r.Header["WWW-Authenticate"]); got != `[Digest realm="x", nonce="y"]` {
		t.Error(got)
	}
	r = &base.Response{Header: base.Header{"WWW-Authenticate": {`Basic realm="x"`}}}
	withoutBasic(r)
	if len(r.Header) > 0 {
		t.Error(r.Header)
	}
	withoutBasic(&base.Response{})
}

func text(v any) string { return fmt.Sprint(v) }
