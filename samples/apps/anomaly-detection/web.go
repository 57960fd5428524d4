package main

import (
	"embed"
	"fmt"
	"net/http"

	"github.com/akri-go/akri/samples/pages"
)

//go:embed page.html page.css page.js icon.svg
var files embed.FS

// handler serves the page. / and /values_log are upstream's routes.
func handler(h *hub) (http.Handler, error) {
	mux, err := pages.Serving(files)
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /live", h.live)
	mux.HandleFunc("GET /values_log", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, h.valuesLog())
	})
	return mux, nil
}
