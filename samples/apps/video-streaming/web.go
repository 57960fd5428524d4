package main

import (
	"embed"
	"fmt"
	"net/http"

	"github.com/akri-go/akri/samples/pages"
)

//go:embed page.html page.css page.js icon.svg
var files embed.FS

// handler serves the page, whose script makes pictures (blob:). /, /camera_list and
// /camera_frame_feed/<number> are upstream's routes.
func handler(h *hub) (http.Handler, error) {
	mux, err := pages.Serving(files, "blob:")
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /live", h.live)
	mux.HandleFunc("GET /camera_frame_feed/{id}", h.frames)
	mux.HandleFunc("GET /camera_list", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, h.addresses())
	})
	return mux, nil
}
