package pages

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path"
	"strings"

	"github.com/akri-go/akri/bounded"
)

// index is the file at the root.
const index = "page.html"

// policy lets a page load what its program serves; nothing is inline, and no other
// address is called. Its %s are more places of images.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'%s; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// Serving returns a mux with a page's files, page.html at the root, and with /healthz.
// The page may load images from the program, and from the places that are named.
func Serving(files fs.ReadDirFS, images ...string) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	csp := fmt.Sprintf(policy, strings.Join(append([]string{""}, images...), " "))
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		data, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, err
		}
		at := "/" + e.Name()
		if e.Name() == index {
			at = "/{$}"
		}
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentTypes[path.Ext(e.Name())])
			w.Header().Set("Content-Security-Policy", csp)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Cache-Control", "no-cache")
			w.Write(data)
		})
	}
	return mux, nil
}

// Listen listens at an address.
func Listen(ctx context.Context, address string) (*bounded.Listener, error) {
	// Every viewer has a connection open, and behind an ingress all are one peer.
	return bounded.Listen(ctx, address, bounded.Limits{Connections: 3 * MaxViewers, PerPeer: 2 * MaxViewers})
}

// Serve serves until ctx is done.
func Serve(ctx context.Context, l *bounded.Listener, h http.Handler) error {
	return bounded.Serve(ctx, l, &http.Server{Handler: h, BaseContext: func(net.Listener) context.Context { return ctx }})
}
