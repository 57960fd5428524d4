package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/probes"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/samples/brokers"
	"github.com/akri-go/akri/samples/opcuanode"
)

const (
	// maxStreams is how many streams are served at a time, of which one peer has at
	// most maxPeerStreams.
	maxStreams     = 16
	maxPeerStreams = 12
	// maxCalls is how many values are sent at a time to those who ask for one.
	maxCalls     = 8
	maxPeerCalls = 6
	// callPatience is how long those wait for whom there is no place.
	callPatience = 2 * time.Second
	// sendTimeout is how long a client may take for one value.
	sendTimeout = 10 * time.Second
	// maxRequestBytes is how large the body of a request may be. All are empty.
	maxRequestBytes = 1 << 10
	// maxReason is how much is told of why there is no value.
	maxReason = 300
)

// serve serves the values until ctx is done. Over gRPC it is OpcuaNode.OpcuaNode;
// HTTP clients have /value.
func (b *broker) serve(ctx context.Context, listener *bounded.Listener) error {
	b.log.Info("values are served", "address", listener.Addr().String(), "server", b.settings.url)
	return brokers.Serve(ctx, listener, b.handler(), probes.Options{Address: ":" + b.settings.probesPort, Ready: b.ready, Metrics: b.metrics.handler()})
}

// ready says why there is no value. So a Service for several servers leads to those
// that have one.
func (b *broker) ready() error { return b.latest.Last().Value.err }

// handler answers for gRPC and HTTP.
func (b *broker) handler() http.Handler {
	calls := grpc.NewServer()
	opcuanode.RegisterOpcuaNodeServer(calls, &service{broker: b})
	mux := http.NewServeMux()
	streams := bounded.NewGate(maxStreams, maxPeerStreams)
	single := bounded.NewGate(maxCalls, maxPeerCalls)
	mux.Handle("POST "+opcuanode.OpcuaNode_StreamValues_FullMethodName, b.limited(streams, calls))
	mux.Handle("POST /", b.limited(single, calls)) // GetValue, and the answer that there is no such method
	mux.Handle("GET /value", b.limited(single, http.HandlerFunc(b.value)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// limited lets requests through a gate, and gives each value that is sent a
// deadline of its own instead of one for the whole answer.
func (b *broker) limited(gate *bounded.Gate, next http.Handler) http.Handler {
	return gate.Handler(callPatience, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.metrics.clients.Inc()
		defer b.metrics.clients.Dec()
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
		next.ServeHTTP(brokers.NewPatientWriter(w, sendTimeout), r)
	}))
}

// value sends the newest value as JSON.
func (b *broker) value(w http.ResponseWriter, _ *http.Request) {
	r := b.latest.Last().Value
	w.Header().Set("Cache-Control", "no-store")
	if r.err != nil {
		http.Error(w, "there is no value: "+shorten.Text(r.err.Error(), maxReason), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(struct {
		Value  float64   `json:"value"`
		Server string    `json:"server"`
		Node   string    `json:"node"`
		Taken  time.Time `json:"taken"`
	}{r.value, b.settings.url, b.settings.node.String(), r.taken}); err == nil {
		b.metrics.served.Inc()
	}
}

// service is OpcuaNode.OpcuaNode.
type service struct {
	opcuanode.UnimplementedOpcuaNodeServer

	broker *broker
}

// GetValue returns the newest value; 0 if there is none, as upstream's broker does.
func (s *service) GetValue(context.Context, *opcuanode.ValueRequest) (*opcuanode.ValueResponse, error) {
	return s.message(s.broker.latest.Last().Value), nil
}

// StreamValues streams values until the client is gone.
func (s *service) StreamValues(_ *opcuanode.ValueRequest, to grpc.ServerStreamingServer[opcuanode.ValueResponse]) error {
	var last uint64
	for {
		n, err := s.broker.latest.Next(to.Context(), last)
		if err != nil {
			return status.Error(codes.Unavailable, "the broker ends") // or the client is gone
		}
		last = n.Number
		if err := to.Send(s.message(n.Value)); err != nil {
			return err
		}
	}
}

func (s *service) message(r reading) *opcuanode.ValueResponse {
	m := &opcuanode.ValueResponse{OpcuaServer: s.broker.settings.url}
	if r.err != nil {
		m.Reason = shorten.Text(r.err.Error(), maxReason)
		return m
	}
	m.Value, m.Reading, m.TakenUs = whole(r.value), &r.value, r.taken.UnixMicro()
	s.broker.metrics.served.Inc()
	return m
}
