package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/samples/pages"
)

// Cameras come, give pictures, are lost, and go, all in one answer.
func TestLive(t *testing.T) {
	h, address := serveHub(t)
	r := look(t, address)
	if l := r.listed(states("")); l.Feeds == nil {
		t.Error("readers of JSON want an empty list")
	}
	a, pictures, stop := ours(t, "/dev/video0")
	h.set([]source{{mainID, a}, {"a", a}}, nil)
	r.listed(states("main:starting a:starting"))
	want := shade(t, 1)
	pictures <- want
	l := r.listed(states("main:live a:live"))
	if l.Feeds[1].Camera != "/dev/video0" || l.Feeds[1].Reason != "" {
		t.Errorf("%+v", l)
	}
	for _, id := range []string{mainID, "a"} {
		want = shade(t, 50)
		pictures <- want
		if got := r.picture(id); len(got) == 0 {
			t.Errorf("of %s: %d bytes", id, len(got))
		}
	}
	pictures <- nil // the camera is unplugged; the broker stays
	r.listed(states("main:lost a:lost"))
	r.listed(says("a", "the broker has no picture of the camera"))
	pictures <- want
	r.listed(states("main:live a:live"))
	stop()
	r.listed(states("main:lost a:lost"))
	r.listed(says("a", "the broker does not answer"))
	h.set(nil, errors.New("no answer"))
	if l := r.listed(states("")); l.Problem != "no answer" {
		t.Errorf("%+v", l)
	}
}

// Upstream's brokers are asked for each picture; one that sends the same again, or
// pictures without Huffman tables as cameras make them, is understood.
func TestUpstreamBroker(t *testing.T) {
	h, address := serveHub(t)
	u := &upstream{frame: func(call int32) []byte {
		if call < 3 {
			return nil
		}
		return shade(t, int(call/3)*20%256)
	}}
	h.set([]source{{"a", u.serve(t)}}, nil)
	r := look(t, address)
	last := r.picture("a")
	for range 3 {
		next := r.picture("a")
		if bytes.Equal(next, last) {
			t.Error("the same picture twice")
		}
		last = next
	}
	if l := r.listed(states("a:live")); l.Feeds[0].Camera != "/dev/video9" {
		t.Errorf("%+v", l)
	}
}

// Brokers are asked only while somebody looks.
func TestNobodyLooks(t *testing.T) {
	h, address := serveHub(t)
	u := &upstream{frame: func(call int32) []byte { return shade(t, int(call)*20%256) }}
	h.set([]source{{"a", u.serve(t)}}, nil)
	r := look(t, address)
	r.picture("a")
	r.body.Close()
	f := h.find("a")
	eventually.Succeeds(t, patience, func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.stop != nil {
			return fmt.Errorf("it is followed for %d viewers", f.viewers)
		}
		return nil
	})
	<-f.stopped
	calls := u.calls.Load()
	look(t, address).picture("a")
	if u.calls.Load() == calls {
		t.Error("it is not asked again")
	}
}

// What is no broker, no picture, or too much does no harm and is said.
func TestHostileBrokers(t *testing.T) {
	h, address := serveHub(t)
	good, pictures, _ := ours(t, "good")
	junk, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer junk.Close()
	go func() {
		for {
			c, err := junk.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, strings.Repeat("HTTP/1.1 200 OK\r\n", 1000))
			c.Close()
		}
	}()
	text := &upstream{frame: func(int32) []byte { return []byte("<html>It works!</html>") }}
	large := &upstream{frame: func(int32) []byte { return make([]byte, 3<<20) }}
	h.set([]source{{"good", good}, {"junk", junk.Addr().String()}, {"text", text.serve(t)}, {"large", large.serve(t)}}, nil)
	r := look(t, address)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range 20 {
			pictures <- shade(t, i)
		}
	}()
	r.picture("good")
	r.listed(says("junk", "does not answer"))
	r.listed(says("text", "something that is no picture: it does not begin like a JPEG"))
	r.listed(says("large", "too large"))
	<-sent
}

// Upstream's routes.
func TestRoutes(t *testing.T) {
	h, address := serveHub(t)
	a, pictures, _ := ours(t, "a")
	get := func(path string) (*http.Response, string) {
		t.Helper()
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	for path, code := range map[string]int{"/camera_frame_feed/0": 404, "/camera_list": 200, "/healthz": 200, "/page.css": 200, "/page.js": 200, "/x": 404} {
		if resp, _ := get(path); resp.StatusCode != code {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, code)
		}
	}
	resp, body := get("/")
	// The words that the MicroK8s workflow looks for.
	if !strings.Contains(body, "Akri") || !strings.Contains(body, "camera_frame_feed") {
		t.Errorf("%s", body)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || strings.Contains(body, "style=") || strings.Contains(body, "http:") || strings.Contains(body, "https:") {
		t.Errorf("%s\n%s", csp, body)
	}
	h.set([]source{{mainID, a}, {"a", a}}, nil)
	if _, body := get("/camera_list"); body != a+"+"+a {
		t.Errorf("/camera_list: %s", body)
	}
	resp, err := http.Get("http://" + address + "/camera_frame_feed/1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(resp.Body, params["boundary"])
	for i := range 3 {
		want := shade(t, i*50)
		pictures <- want
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, want) {
			t.Errorf("part %d: %d bytes, %v", i, len(got), err)
		}
	}
	h.set(nil, nil) // the camera goes, and the answer ends
	timer := time.AfterFunc(patience, func() { resp.Body.Close() })
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || !timer.Stop() {
		t.Errorf("it does not end: %v", err)
	}
}

// There is room for so many pages.
func TestTooManyViewers(t *testing.T) {
	_, address := serveHub(t)
	for range pages.MaxViewers {
		look(t, address).next()
	}
	resp, err := http.Get("http://" + address + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %s", resp.Status)
	}
}

// The broker of a camera that has just come is asked often, others less and less.
func TestPause(t *testing.T) {
	for range 100 {
		for _, c := range []struct {
			state    State
			failures int
			most     time.Duration
		}{{Starting, 1, 250 * time.Millisecond}, {Starting, 50, 500 * time.Millisecond}, {Lost, 50, 2500 * time.Millisecond}} {
			if got := pause(c.state, c.failures); got <= 0 || got > c.most {
				t.Errorf("%s, after %d failures: %v, want at most %v", c.state, c.failures, got, c.most)
			}
		}
		if got := pause(Lost, 50); got < time.Second {
			t.Errorf("a lost camera is asked again after %v", got)
		}
	}
}
