package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

// state is what the control endpoint says of a camera.
type state struct {
	Number       int            `json:"number"`
	Name         string         `json:"name"`
	Location     string         `json:"location"`
	UUID         string         `json:"uuid"`
	Address      string         `json:"address"`
	XAddrs       []string       `json:"xaddrs"`
	MAC          string         `json:"mac"`
	Manufacturer string         `json:"manufacturer"`
	Model        string         `json:"model"`
	Firmware     string         `json:"firmware"`
	SerialNumber string         `json:"serialNumber"`
	Running      bool           `json:"running"`
	Faults       string         `json:"faults"`
	Asked        map[string]int `json:"asked"`
}

// maxCommand bounds the body of a request, in bytes.
const maxCommand = 4 << 10

// control is the control endpoint:
//
//	GET  /cameras          all cameras
//	GET  /cameras/{which}  one, or all
//	POST /cameras/{which}  a command as the body
func control(sim *simulator.Simulator, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, which string) {
		cameras, err := choose(sim, which)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(states(cameras)) // the client is gone, then
	}
	mux.HandleFunc("GET /cameras", func(w http.ResponseWriter, _ *http.Request) { show(w, "all") })
	mux.HandleFunc("GET /cameras/{which}", func(w http.ResponseWriter, r *http.Request) {
		show(w, r.PathValue("which"))
	})
	mux.HandleFunc("POST /cameras/{which}", func(w http.ResponseWriter, r *http.Request) {
		// A page that somebody looks at on this machine must not reach it.
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			http.Error(w, "not for browsers", http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
		if err != nil {
			http.Error(w, "the command is too long", http.StatusBadRequest)
			return
		}
		which, words := r.PathValue("which"), strings.TrimSpace(string(body))
		command, err := simulator.ParseCommand(words)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		err = obey(sim, order{which, command})
		logged(log, which, words, err)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		show(w, which)
	})
	return mux
}

func states(cameras []*simulator.Camera) []state {
	list := []state{}
	for _, c := range cameras {
		list = append(list, state{
			Number: c.Number, Name: c.Name, Location: c.Location, UUID: c.UUID,
			Address: c.Address().String(), XAddrs: c.XAddrs(), MAC: c.MAC.String(),
			Manufacturer: c.Manufacturer, Model: c.Model, Firmware: c.Firmware, SerialNumber: c.SerialNumber,
			Running: c.Running(), Faults: c.Faults().String(), Asked: c.Asked(),
		})
	}
	return list
}
