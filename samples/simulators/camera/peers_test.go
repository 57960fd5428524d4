//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/peers"
	"github.com/akri-go/akri/internal/testlog"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// The npm package onvif finds the cameras by multicast, authenticates, and reads
// device information, profiles and URIs.
func TestNPMClient(t *testing.T) {
	dir := peers.NPM(t, "onvif@0.8.3")
	n := newLAN(t)
	script, err := filepath.Abs("testdata/discover.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, auth := range []simulator.Auth{simulator.AuthNone, simulator.AuthUsernameToken, simulator.AuthDigest, simulator.AuthBoth} {
		t.Run(string(auth), func(t *testing.T) {
			r := start(t, n, "--auth", string(auth), "--fault", "3:silent")
			out := command(t, n.client, "env", "NODE_PATH="+filepath.Join(dir, "node_modules"), "node", script, "admin", "akri")
			var found []string
			for line := range strings.Lines(out) {
				var said struct {
					XAddrs      []string
					Information struct{ Manufacturer, Model, FirmwareVersion, SerialNumber, HardwareID string }
					Scopes      []string
					Profiles    []string
					Snapshot    string
					Stream      string
					Error       string
				}
				if err := json.Unmarshal([]byte(line), &said); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				i := slices.IndexFunc([]int{1, 2}, func(number int) bool {
					return simulator.Identify("akri", number).SerialNumber == said.Information.SerialNumber
				})
				if i < 0 {
					t.Errorf("no such camera: %s", line)
					continue
				}
				id := simulator.Identify("akri", i+1)
				address := fmt.Sprintf("10.88.0.%d", 10+id.Number)
				found = append(found, id.UUID)
				if said.Error != "" || said.Information.Model != id.Model || said.Information.FirmwareVersion != id.Firmware ||
					!slices.Contains(said.XAddrs, "http://"+address+":8000/onvif/device_service") ||
					!slices.Equal(said.Profiles, []string{"main", "sub"}) || len(said.Scopes) != 6 ||
					said.Snapshot != "http://"+address+":8000/snapshot/main" || said.Stream != "rtsp://"+address+":8554/main" {
					t.Errorf("camera %d: %s", id.Number, line)
				}
			}
			if len(found) != 2 {
				t.Errorf("%d cameras are found, want 2 of which none is silent\n%s", len(found), out)
			}
			states, err := r.states("3")
			if err != nil || states[0].Asked["Probe"] != 1 {
				t.Errorf("the silent one: %+v, %v", states, err)
			}
		})
	}
}

// Home Assistant's client parses each answer by ONVIF's WSDL files.
func TestWSDLClient(t *testing.T) {
	dir := peers.PyPI(t, "onvif-zeep-async==4.3.0", "WSDiscovery==2.1.2")
	n := newLAN(t)
	r := start(t, n, "--auth", "both")
	read := func(number int, password string) map[string]json.RawMessage {
		t.Helper()
		out := command(t, n.client, "env", "PYTHONPATH="+dir, "python3", "testdata/read.py", fmt.Sprintf("10.88.0.%d", 10+number), "8000", "admin", password)
		var said map[string]json.RawMessage
		if err := json.Unmarshal([]byte(out), &said); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return said
	}
	said := read(2, "akri")
	id := simulator.Identify("akri", 2)
	for name, want := range map[string]string{
		"GetDeviceInformation": id.SerialNumber, "GetNetworkInterfaces": id.MAC.String(), "GetScopes": "onvif://www.onvif.org/location/yard",
		"GetEndpointReference": id.UUID, "GetProfiles": `"Encoding": "JPEG"`, "GetProfile": `"token": "sub"`,
		"GetServices": "http://10.88.0.12:8000/onvif/media_service", "GetCapabilities": "http://10.88.0.12:8000/onvif/media_service",
		"GetSnapshotUri": "http://10.88.0.12:8000/snapshot/main", "GetStreamUri": "rtsp://10.88.0.12:8554/main",
		"GetSystemDateAndTime": fmt.Sprintf(`"Year": %d`, time.Now().UTC().Year()), "GetHostname": "camera-02", "GetVideoSources": `"Width": 640`,
		"GetServiceCapabilities": `"HttpDigest": true`, "fault": `["InvalidArgVal", "NoProfile"]`,
	} {
		if !strings.Contains(string(said[name]), want) {
			t.Errorf("%s: no %s in %s", name, want, said[name])
		}
	}
	if string(said["snapshot"]) < "1000" || said["refused"] != nil {
		t.Errorf("snapshot of %s bytes, refused %s", said["snapshot"], said["refused"])
	}
	if said := read(1, "wrong"); string(said["refused"]) != `["NotAuthorized"]` {
		t.Errorf("with a wrong password: %s", said)
	}
	r.tell("1", "clock=2h")
	if said := read(1, "akri"); string(said["refused"]) != `["NotAuthorized"]` && said["GetDeviceInformation"] == nil {
		t.Errorf("with a wrong clock: %s", said)
	}
}

// The PyPI package WSDiscovery hears cameras come, move and go.
func TestDiscoveryClient(t *testing.T) {
	dir := peers.PyPI(t, "onvif-zeep-async==4.3.0", "WSDiscovery==2.1.2")
	n := newLAN(t)
	r := start(t, n)
	listener := inside(t, n.client, "env", "PYTHONPATH="+dir, "python3", "testdata/listen.py")
	output := &testlog.Buffer{}
	listener.Stdout, listener.Stderr = output, t.Output()
	input, err := listener.StdinPipe()
	if err == nil {
		err = listener.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		_ = listener.Wait() // its context may have ended first
	})
	epr := func(number int) string { return "urn:uuid:" + simulator.Identify("akri", number).UUID }

	wait(t, output, "listening")
	for number := 1; number <= 3; number++ {
		wait(t, output, fmt.Sprintf("found %s http://10.88.0.%d:8000/onvif/device_service", epr(number), 10+number))
	}
	if hasLine(output, "found-other") {
		t.Error("a camera answers to who looks for Windows' devices")
	}
	r.tell("1", "stop")
	wait(t, output, "bye "+epr(1))
	r.tell("1", "start")
	wait(t, output, "hello "+epr(1)+" http://10.88.0.11:8000/")
	r.tell("2", "move=10.88.0.14")
	wait(t, output, "hello "+epr(2)+" http://10.88.0.14:8000/")
	r.tell("3", "vanish")
	r.end(unix.SIGTERM)
	wait(t, output, "bye "+epr(2))
	if hasLine(output, "bye "+epr(3)) {
		t.Error("a camera that vanished says Bye")
	}
}

// Debian's client finds them and logs in.
func TestDebianClient(t *testing.T) {
	peers.Install(t, "libxml2")
	dir := peers.Unpack(t, "onvif-tools", "libonvif1")
	n := newLAN(t)
	start(t, n, "--auth", "both")
	util := func(args ...string) string {
		return command(t, n.client, append([]string{"sh", "-c", `printf 'get time\nget profiles\nquit\n' | "$@"`, "sh", "env",
			"LD_LIBRARY_PATH=" + filepath.Join(dir, "usr/lib/x86_64-linux-gnu"), filepath.Join(dir, "usr/bin/onvif-util")}, args...)...)
	}
	all := util("-a")
	for number := 1; number <= 3; number++ {
		id := simulator.Identify("akri", number)
		if want := fmt.Sprintf("10.88.0.%d camera-%02d(%s %s)", 10+number, number, id.Name, id.Model); !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	// It reuses nonces within a second, which the cameras refuse: only the first
	// requests are sure to be answered.
	session := util("-u", "admin", "-p", "akri", "10.88.0.12")
	for _, want := range []string{"serial: " + simulator.Identify("akri", 2).SerialNumber, "Time Offset: 0 seconds"} {
		if !strings.Contains(session, want) {
			t.Errorf("no %q in\n%s", want, session)
		}
	}
}

// GStreamer plays the streams over TCP and UDP, one viewer after another. The
// pictures move and are the right camera's.
func TestStreamClient(t *testing.T) {
	peers.Install(t, "gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good")
	n := newLAN(t)
	start(t, n, "--auth", "digest")
	for i, transport := range []string{"tcp", "udp", "tcp", "udp"} {
		number := 1 + i%2
		dir := t.TempDir()
		viewer := inside(t, n.client, "gst-launch-1.0", "-q", "rtspsrc", fmt.Sprintf("location=rtsp://10.88.0.%d:8554/main", 10+number),
			"user-id=admin", "user-pw=akri", "latency=0", "protocols="+transport, "!", "rtpjpegdepay", "!", "identity", "eos-after=5", "!",
			"multifilesink", "location="+filepath.Join(dir, "%02d.jpg"))
		// Its exit code is no use: it sends PAUSE after it has closed the stream.
		out, _ := viewer.CombinedOutput()
		files, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
		if err != nil || len(files) < 4 {
			t.Fatalf("%s: %d pictures, %v\n%s", transport, len(files), err, out)
		}
		var last uint32
		for _, f := range files {
			camera, frame, err := marks(f)
			if err != nil || camera != number || frame <= last {
				t.Errorf("%s: camera %d, frame %d after %d: %v", transport, camera, frame, last, err)
			}
			last = frame
		}
	}
}

// curl gets snapshots by HTTP digest, whichever algorithms are offered.
func TestSnapshotClient(t *testing.T) {
	peers.Install(t, "curl")
	n := newLAN(t)
	for _, algorithms := range []string{"MD5", "SHA-256", "SHA-256,MD5"} {
		t.Run(algorithms, func(t *testing.T) {
			start(t, n, "--auth", "digest", "--digest", algorithms)
			for password, want := range map[string]string{"akri": "200", "wrong": "401"} {
				file := filepath.Join(t.TempDir(), "picture")
				status := command(t, n.client, "curl", "-s", "--digest", "-u", "admin:"+password, "-o", file, "-w", "%{http_code}",
					"http://10.88.0.12:8000/snapshot/main")
				if status != want {
					t.Errorf("with password %q: %s", password, status)
				}
				if want != "200" {
					continue
				}
				if camera, _, err := marks(file); err != nil || camera != 2 {
					t.Errorf("the picture is of camera %d: %v", camera, err)
				}
			}
		})
	}
}

func marks(path string) (camera int, frame uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	img, err := jpeg.Decode(f)
	if err != nil {
		return 0, 0, err
	}
	return simulator.ReadMarks(img)
}

// wait waits for a line of a program's output that begins with prefix.
func wait(t *testing.T, output *testlog.Buffer, prefix string) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if !hasLine(output, prefix) {
			return fmt.Errorf("no line %q in\n%s", prefix, output)
		}
		return nil
	})
}

func hasLine(output *testlog.Buffer, prefix string) bool {
	return strings.Contains("\n"+output.String(), "\n"+prefix)
}
