package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/samples/camera/camerapb"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

const admin, password = "CAMERA_USERNAME=admin", "CAMERA_PASSWORD=akri"

func (b *broker) says(text string) error { return b.saysTimes(text, 1) }

// saysTimes tells whether the log has a text so often.
func (b *broker) saysTimes(text string, times int) error {
	if n := strings.Count(b.log.String(), text); n < times {
		return fmt.Errorf("the broker has said %q %d times, want %d", text, n, times)
	}
	return nil
}

// Pictures come in each way, with each kind of authentication, from the profile
// that is asked for.
func TestWays(t *testing.T) {
	for _, c := range []struct {
		name    string
		options simulator.Options
		environ []string
		kind    string // what the camera counts
		width   int
	}{
		{"RTSP, large", simulator.Options{}, []string{"RESOLUTION_WIDTH=640", "RESOLUTION_HEIGHT=480"}, "stream", 640},
		{"RTSP, with digest", simulator.Options{Auth: simulator.AuthDigest}, []string{admin, password}, "stream", 320},
		{"RTSP, with tokens", simulator.Options{Auth: simulator.AuthUsernameToken}, []string{admin, password}, "stream", 320},
		{"RTSP, with either", simulator.Options{Auth: simulator.AuthBoth}, []string{admin, password}, "stream", 320},
		{"snapshots", simulator.Options{Auth: simulator.AuthBoth}, []string{admin, password, "CAMERA_SOURCE=snapshot", "FRAMES_PER_SECOND=20"}, "snapshot", 320},
		{"snapshots, with SHA-256", simulator.Options{Auth: simulator.AuthDigest, Algorithms: []string{simulator.SHA256}},
			[]string{admin, password, "CAMERA_SOURCE=snapshot", "FRAMES_PER_SECOND=20"}, "snapshot", 320},
		// It has no streams, which is known when it is asked for one.
		{"snapshots in place of streams", simulator.Options{NoRTSP: true}, []string{"FRAMES_PER_SECOND=20"}, "snapshot", 320},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, cam := simulate(t, c.options)
			b := serve(t, of(cam, c.environ...))
			if width := b.sees(1, 3); width != c.width {
				t.Errorf("pictures are %d wide, want %d", width, c.width)
			}
			if n := cam.Asked()[c.kind]; n == 0 {
				t.Errorf("the camera was asked for %v, want %s", cam.Asked(), c.kind)
			}
			m, err := b.client.GetFrame(t.Context(), &camerapb.NotifyRequest{})
			if err != nil || len(m.GetFrame()) == 0 || m.GetCamera() != cam.UUID {
				t.Errorf("GetFrame: %d bytes of %q, %v", len(m.GetFrame()), m.GetCamera(), err)
			}
		})
	}
}

// A URL of pictures in the environment is used as it is, as upstream's broker does
// with RTSP_URL; what is secret in it is not told.
func TestGivenURLs(t *testing.T) {
	_, cam := simulate(t, simulator.Options{Auth: simulator.AuthDigest})
	asked := serve(t, of(cam, admin, password))
	asked.sees(1, 2)
	var rtsp string
	for _, word := range strings.Fields(asked.log.String()) {
		if u, ok := strings.CutPrefix(word, "url=rtsp://"); ok {
			rtsp = u
		}
	}
	if rtsp == "" {
		t.Fatal("the log has no URL")
	}
	for _, environ := range [][]string{
		{"RTSP_URL=rtsp://admin:akri@" + rtsp},
		{"RTSP_URL=rtsp://" + rtsp, admin, password},
		{"SNAPSHOT_URL=http://admin:akri@" + cam.Address().String() + "/snapshot/main", "FRAMES_PER_SECOND=20"},
	} {
		b := serve(t, environ)
		b.sees(1, 3)
		m, err := b.client.GetFrame(t.Context(), &camerapb.NotifyRequest{})
		if err != nil || strings.Contains(m.GetCamera(), "akri") || strings.Contains(b.log.String(), "admin:akri") {
			t.Errorf("camera %q, %v; log:\n%s", m.GetCamera(), err, b.log)
		}
	}
}

// Faults pass: the broker says what is wrong, shows no picture meanwhile, and goes
// on when they are over.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		faults simulator.Faults
		said   string
	}{
		"silent":   {simulator.Faults{Silent: true}, "no picture has come"},
		"garbage":  {simulator.Faults{Garbage: true}, "read the answer"},
		"endless":  {simulator.Faults{Endless: true}, "more than 256 KiB"},
		"bomb":     {simulator.Faults{Bomb: true}, "DTD"},
		"redirect": {simulator.Faults{Redirect: "http://127.0.0.1:1/"}, "not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, cam := simulate(t, simulator.Options{Auth: simulator.AuthDigest})
			b := serve(t, of(cam, admin, password, "CAMERA_SOURCE=snapshot", "FRAMES_PER_SECOND=20"))
			b.sees(1, 2)
			cam.SetFaults(c.faults)
			b.loses()
			eventually.Succeeds(t, patience, func(context.Context) error { return b.says(c.said) })
			cam.SetFaults(simulator.Faults{})
			b.sees(1, 3)
		})
	}
}

// A camera that is slow gives pictures all the same.
func TestSlow(t *testing.T) {
	_, cam := simulate(t, simulator.Options{Auth: simulator.AuthDigest})
	cam.SetFaults(simulator.Faults{Slow: 300 * time.Millisecond, Clock: -26 * time.Hour})
	serve(t, of(cam, admin, password)).sees(1, 3)
}

// A stream that stalls, and one whose camera is switched off and on again: then it
// is at another port, which the camera says.
func TestStreamThatEnds(t *testing.T) {
	_, cam := simulate(t, simulator.Options{Auth: simulator.AuthUsernameToken})
	b := serve(t, of(cam, admin, password))
	b.sees(1, 2)
	cam.SetFaults(simulator.Faults{Silent: true})
	b.loses()
	cam.SetFaults(simulator.Faults{})
	b.sees(1, 2)
	if err := cam.Vanish(); err != nil {
		t.Fatal(err)
	}
	b.loses()
	if err := cam.Start(); err != nil {
		t.Fatal(err)
	}
	b.sees(1, 2)
}

// A camera that has moved to another address is lost for this broker; the one that
// takes its place, with the new address in its environment, sees it.
func TestMove(t *testing.T) {
	_, cam := simulate(t, simulator.Options{Auth: simulator.AuthDigest})
	b := serve(t, of(cam, admin, password))
	b.sees(1, 2)
	if err := cam.Move(netip.MustParseAddr("127.0.0.2")); err != nil {
		t.Fatal(err)
	}
	b.loses()
	eventually.Succeeds(t, patience, func(context.Context) error { return b.says("connection refused") })
	serve(t, of(cam, admin, password)).sees(1, 2)
}

// Credentials are files of a mounted Secret. A wrong password is tried once, and
// again as soon as the file changes.
func TestSecret(t *testing.T) {
	_, cam := simulate(t, simulator.Options{Auth: simulator.AuthBoth})
	secret, lists := t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Upstream's layout: lists in a ConfigMap, what they name in a Secret.
	write(lists, "device_credential_ref_list", `["refs"]`)
	write(lists, "refs", `{"`+cam.UUID+`": {"username_ref": "user", "password_ref": "pass"}}`)
	write(secret, "user", "admin")
	write(secret, "pass", "hunter2")
	// As the kubelet mounts it, with a folder of its own.
	if err := os.Mkdir(filepath.Join(secret, "..data"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := serve(t, of(cam, "CREDENTIAL_DIRECTORY="+secret, "CREDENTIAL_CONFIGMAP_DIRECTORY="+lists))
	eventually.Succeeds(t, patience, func(context.Context) error { return b.says("correct CAMERA_USERNAME") })
	refused := cam.Asked()["refused"]
	// Some tries later the camera has not been asked again.
	eventually.Succeeds(t, patience, func(context.Context) error { return b.saysTimes(`it refuses the user`, 5) })
	if n := cam.Asked()["refused"]; n != refused {
		t.Errorf("a wrong password was tried %d times, then %d", refused, n)
	}
	if strings.Contains(b.log.String(), "hunter2") {
		t.Error("the log has the password")
	}
	write(secret, "pass", "akri")
	b.sees(1, 2)
}

// With HTTPS, the certificate must be one that the Secret has the issuer of.
func TestHTTPS(t *testing.T) {
	s, cam := simulate(t, simulator.Options{Auth: simulator.AuthDigest, TLS: true})
	dir := t.TempDir()
	environ := of(cam, admin, password, "CREDENTIAL_DIRECTORY="+dir, "CAMERA_SOURCE=snapshot")
	b := serve(t, environ)
	eventually.Succeeds(t, patience, func(context.Context) error { return b.says("certificate") })
	if err := os.WriteFile(filepath.Join(dir, "ca_certificates"), s.Issuer(), 0o600); err != nil {
		t.Fatal(err)
	}
	b.sees(1, 2)
	serve(t, of(cam, admin, password, "INSECURE_SKIP_TLS_VERIFY=true", "CAMERA_SOURCE=snapshot")).sees(1, 2)
}
