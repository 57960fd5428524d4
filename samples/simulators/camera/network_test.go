//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/gobuild"
)

// lan is two network namespaces that are connected: the cameras', with addresses
// 10.88.0.11 to .14, and the client's, with 10.88.0.1.
type lan struct {
	cameras, client string
	binary          string // the program
}

// newLAN creates them, and removes them at the end of the test. Tests with a lan
// run in parallel, since they mostly wait.
func newLAN(t *testing.T) lan {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skipped: network namespaces need root")
	}
	t.Parallel()
	name := fmt.Sprintf("akri-%d-%s", os.Getpid(), t.Name())
	n := lan{name + "-cameras", name + "-client", gobuild.Program(t, "github.com/akri-go/akri/samples/simulators/camera")}
	for _, ns := range []string{n.cameras, n.client} {
		ip(t, "netns", "add", ns)
		t.Cleanup(func() { ip(t, "netns", "del", ns) })
		ip(t, "-n", ns, "link", "set", "lo", "up")
	}
	// Tests use the index as the zone of IPv6 addresses: package net caches the
	// indexes of names, for all namespaces together.
	ip(t, "link", "add", "eth0", "index", "7", "netns", n.cameras, "type", "veth",
		"peer", "name", "eth0", "index", "7", "netns", n.client)
	for _, ns := range []string{n.cameras, n.client} {
		// Otherwise IPv6 addresses cannot be used for about two seconds.
		command(t, ns, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
	}
	for i := range 4 {
		ip(t, "-n", n.cameras, "addr", "add", fmt.Sprintf("10.88.0.%d/24", 11+i), "dev", "eth0")
	}
	ip(t, "-n", n.client, "addr", "add", "10.88.0.1/24", "dev", "eth0")
	for _, ns := range []string{n.cameras, n.client} {
		ip(t, "-n", ns, "link", "set", "eth0", "up")
	}
	ip(t, "-n", n.client, "route", "add", "239.0.0.0/8", "dev", "eth0")
	return n
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	// The clean-up runs it when the test's own context is done.
	if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "ip", args...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// command runs a program in a namespace and returns what it writes.
func command(t *testing.T, ns string, argv ...string) string {
	t.Helper()
	out, err := inside(t, ns, argv...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// inside prepares a program in a namespace; it ends with the test, or after
// [eventually.Patience].
func inside(t *testing.T, ns string, argv ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns}, argv...)...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// enter runs f on a thread in a namespace.
func enter(ns string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
		file, err := os.Open(filepath.Join("/run/netns", ns))
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// client returns a client of HTTP in a namespace.
func client(t *testing.T, ns string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = enter(ns, func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: eventually.Patience}
}

// running is the program with cameras.
type running struct {
	t      *testing.T
	lan    lan
	cmd    *exec.Cmd
	ended  chan error
	client *http.Client // on the cameras' side
}

// start starts the program with three cameras and waits until it serves.
func start(t *testing.T, n lan, args ...string) *running {
	t.Helper()
	r := &running{t: t, lan: n, ended: make(chan error, 1), client: client(t, n.cameras)}
	// Not with the test's context: it is to end by a signal.
	r.cmd = exec.Command("ip", append([]string{"netns", "exec", n.cameras, n.binary, "--interface", "eth0",
		"--addresses", "10.88.0.11-10.88.0.13", "--log-level", "debug"}, args...)...)
	r.cmd.Stdout, r.cmd.Stderr = t.Output(), t.Output()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() { r.end(unix.SIGTERM) })
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error { _, err := r.states("all"); return err })
	return r
}

// end ends the program by a signal and waits for it.
func (r *running) end(signal unix.Signal) {
	if r.cmd == nil {
		return
	}
	if err := unix.Kill(r.cmd.Process.Pid, signal); err != nil {
		r.t.Error(err)
	}
	if err := <-r.ended; err != nil && signal != unix.SIGKILL {
		r.t.Errorf("the program ends: %v", err)
	}
	r.cmd = nil
}

// states returns what the control endpoint says about cameras.
func (r *running) states(which string) (list []state, err error) {
	resp, err := r.client.Get("http://127.0.0.1:8099/cameras/" + which)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return list, json.NewDecoder(resp.Body).Decode(&list)
}

// tell sends a command to the control endpoint.
func (r *running) tell(which, words string) {
	r.t.Helper()
	resp, err := r.client.Post("http://127.0.0.1:8099/cameras/"+which, "text/plain", strings.NewReader(words))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %s %s %v", words, resp.Status, text, err)
	}
}

// Right after an interface is up its IPv6 address cannot be used yet.
func TestStartsWhileAnAddressIsChecked(t *testing.T) {
	n := newLAN(t)
	ip(t, "-n", n.cameras, "link", "set", "eth0", "down")
	command(t, n.cameras, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
	ip(t, "-n", n.cameras, "link", "set", "eth0", "up")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if out := command(t, n.cameras, "ip", "-6", "address", "show", "dev", "eth0"); !strings.Contains(out, "fe80:") {
			return fmt.Errorf("no link-local address: %s", out)
		}
		return nil
	})
	states, err := start(t, n).states("all")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if len(s.XAddrs) != 2 || !strings.HasPrefix(s.XAddrs[1], "http://[fe80:") {
			t.Errorf("camera %d has only %q", s.Number, s.XAddrs)
		}
	}
}

// probe is a Probe for cameras.
const probe = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
	xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><s:Header><a:MessageID>urn:uuid:6e0b7f5e-0000-4000-8000-00000000000%d</a:MessageID>
	<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action></s:Header><s:Body><d:Probe>
	<d:Types xmlns:n="http://www.onvif.org/ver10/network/wsdl">n:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>`

// Cameras answer from their own address over IPv4, and from the link-local address
// that they share over IPv6. The XAddrs contain the source address and work.
func TestAnswersComeFromTheCamera(t *testing.T) {
	n := newLAN(t)
	start(t, n)
	for i, group := range []string{"239.255.255.250:3702", "[ff02::c%7]:3702"} {
		sources, texts := map[string]bool{}, map[string]bool{}
		err := enter(n.client, func() error {
			conn, err := net.ListenPacket("udp", ":0")
			if err != nil {
				return err
			}
			defer conn.Close()
			to, err := net.ResolveUDPAddr("udp", group)
			if err != nil {
				return err
			}
			if _, err := conn.WriteTo(fmt.Appendf(nil, probe, i), to); err != nil {
				return err
			}
			buffer := make([]byte, 64<<10)
			for len(texts) < 3 {
				if err := conn.SetReadDeadline(time.Now().Add(eventually.Patience)); err != nil {
					return err
				}
				size, from, err := conn.ReadFrom(buffer)
				if err != nil {
					return fmt.Errorf("%d cameras have answered: %w", len(texts), err)
				}
				text := string(buffer[:size])
				_, text, _ = strings.Cut(text, "<d:XAddrs>")
				text, _, _ = strings.Cut(text, "</d:XAddrs>")
				host := from.(*net.UDPAddr).AddrPort().Addr().WithZone("").Unmap()
				if !strings.Contains(text, host.String()) {
					t.Errorf("from %s comes %q", from, text)
				}
				sources[host.String()], texts[text] = true, true
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", group, err)
		}
		if want := []int{3, 1}[i]; len(sources) != want {
			t.Errorf("%s: answers from %v", group, sources)
		}
		for text := range texts {
			_, link, _ := strings.Cut(text, " ")
			url := strings.Fields(text)[0]
			if i == 1 {
				url = strings.Replace(link, "]", "%257]", 1)
			}
			resp, err := client(t, n.client).Get(url)
			if err != nil {
				t.Errorf("%s: %v", url, err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s: %s", url, resp.Status)
			}
		}
	}
}
