package main

import (
	_ "embed"
	"fmt"
	"net/http"
)

//go:embed page.html
var page []byte

//go:embed page.css
var style []byte

//go:embed page.js
var script []byte

//go:embed icon.svg
var icon []byte

// policy lets the page load what this program serves; nothing is inline, and no
// other address is called.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// handler serves the page. / and /values_log are upstream's routes.
func handler(h *hub) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /live", h.live)
	mux.HandleFunc("GET /values_log", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, h.valuesLog())
	})
	static := func(kind string, data []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Cache-Control", "no-cache")
			w.Write(data)
		}
	}
	mux.HandleFunc("GET /{$}", static("text/html; charset=utf-8", page))
	mux.HandleFunc("GET /page.css", static("text/css; charset=utf-8", style))
	mux.HandleFunc("GET /page.js", static("text/javascript; charset=utf-8", script))
	mux.HandleFunc("GET /icon.svg", static("image/svg+xml", icon))
	return mux
}
