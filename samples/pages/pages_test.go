package pages

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestServing(t *testing.T) {
	files := fstest.MapFS{"page.html": {Data: []byte("<!DOCTYPE html>")}, "page.js": {Data: []byte("1")}, "page.css": {Data: []byte("2")}, "icon.svg": {Data: []byte("3")}}
	mux, err := Serving(files, "blob:")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	listener, err := Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, mux) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct{ method, path, kind, body string }{
		{"GET", "/", "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"GET", "/page.js", "text/javascript; charset=utf-8", "1"},
		{"GET", "/page.css", "text/css; charset=utf-8", "2"},
		{"GET", "/icon.svg", "image/svg+xml", "3"},
		{"GET", "/healthz", "text/plain; charset=utf-8", "ok\n"},
		{"GET", "/page.html", "", ""},
		{"GET", "/../page.js", "", ""},
		{"POST", "/", "", ""},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+listener.Addr().String()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if c.kind == "" {
			if resp.StatusCode == http.StatusOK {
				t.Errorf("%s %s: %s", c.method, c.path, resp.Status)
			}
			continue
		}
		csp := resp.Header.Get("Content-Security-Policy")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != c.kind || string(body) != c.body {
			t.Errorf("%s %s: %s, %s, %q", c.method, c.path, resp.Status, resp.Header.Get("Content-Type"), body)
		}
		if c.path != "/healthz" && !(strings.Contains(csp, "img-src 'self' blob:;") && strings.Contains(csp, "default-src 'none'") && !strings.Contains(csp, "%")) {
			t.Errorf("%s: its policy is %q", c.path, csp)
		}
	}
}

// Viewers are told once of what has changed since they looked.
func TestViewers(t *testing.T) {
	var v Viewers
	v.Wake()
	changed, leave := v.Join(httptest.NewRecorder())
	look := func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	}
	if look() {
		t.Error("nothing has changed yet")
	}
	v.Wake()
	v.Wake()
	if !look() || look() {
		t.Error("it is not told once")
	}
	for range MaxViewers - 1 {
		if _, leave := v.Join(httptest.NewRecorder()); leave == nil {
			t.Fatal("there is no place")
		}
	}
	w := httptest.NewRecorder()
	if _, leave := v.Join(w); leave != nil || w.Code != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", w.Code)
	}
	leave()
	if v.Wake(); look() {
		t.Error("who has left is told")
	}
	if _, leave := v.Join(httptest.NewRecorder()); leave == nil {
		t.Error("the place is not free")
	}
}
