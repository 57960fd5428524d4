package camera

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/probes"
	"github.com/akri-go/akri/samples/brokers"
	"github.com/akri-go/akri/samples/camera/camerapb"
)

const (
	// maxViewers is how many streams are served at a time, of which one peer has at
	// most maxPeerViewers.
	maxViewers     = 16
	maxPeerViewers = 12
	// maxCalls is how many pictures are sent at a time to those who ask for one.
	maxCalls     = 8
	maxPeerCalls = 6
	// callPatience is how long those wait for whom there is no place.
	callPatience = 2 * time.Second
	// sendTimeout is how long a client may take for one picture.
	sendTimeout = 10 * time.Second
	// firstWait is how long a call waits for a picture if there is none.
	firstWait = time.Second
	// maxRequestBytes is how large the body of a request may be. All are empty.
	maxRequestBytes = 1 << 10
)

// Server serves the pictures of a camera. Over gRPC it is camera.Camera; HTTP
// clients have /stream, pictures one after the other in one answer
// (multipart/x-mixed-replace), and /snapshot, one.
type Server struct {
	Latest  *Latest
	Metrics *Metrics
	// Camera is what the camera is called.
	Camera string
	// ProbesAddress is that of metrics and probes.
	ProbesAddress string
	Log           *slog.Logger
}

// Serve serves until ctx is done.
func (s *Server) Serve(ctx context.Context, listener *bounded.Listener) error {
	s.Log.Info("pictures are served", "address", listener.Addr().String(), "camera", s.Camera)
	return brokers.Serve(ctx, listener, s.Handler(), probes.Options{Address: s.ProbesAddress, Ready: s.ready, Metrics: s.Metrics.Handler()})
}

// ready says why there is no picture. So a Service for several cameras leads to
// those that have one.
func (s *Server) ready() error {
	if _, ok := s.Latest.Last(); !ok {
		return fmt.Errorf("%s gives no pictures", s.Camera)
	}
	return nil
}

// Handler answers for gRPC and HTTP.
func (s *Server) Handler() http.Handler {
	calls := grpc.NewServer()
	camerapb.RegisterCameraServer(calls, &service{latest: s.Latest, metrics: s.Metrics, camera: s.Camera})
	mux := http.NewServeMux()
	streams := bounded.NewGate(maxViewers, maxPeerViewers)
	single := bounded.NewGate(maxCalls, maxPeerCalls)
	mux.Handle("POST /camera.Camera/StreamFrames", s.limited(streams, calls))
	mux.Handle("POST /", s.limited(single, calls)) // GetFrame, and the answer that there is no such method
	mux.Handle("GET /stream", s.limited(streams, http.HandlerFunc(s.stream)))
	mux.Handle("GET /snapshot", s.limited(single, http.HandlerFunc(s.snapshot)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// limited lets requests through a gate, and gives each picture that is sent a
// deadline of its own instead of one for the whole answer.
func (s *Server) limited(gate *bounded.Gate, next http.Handler) http.Handler {
	return gate.Handler(callPatience, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Metrics.viewers.Inc()
		defer s.Metrics.viewers.Dec()
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
		next.ServeHTTP(brokers.NewPatientWriter(w, sendTimeout), r)
	}))
}

// boundary is between the pictures of a stream; upstream's application has the
// same.
const boundary = "frame"

// StreamType is the type of an answer in which pictures replace one another.
var StreamType = mime.FormatMediaType("multipart/x-mixed-replace", map[string]string{"boundary": boundary})

// stream sends pictures until the client is gone.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", StreamType)
	w.Header().Set("Cache-Control", "no-store")
	if BeginParts(w) != nil {
		return
	}
	var last uint64
	for {
		f, err := s.Latest.Next(r.Context(), last)
		if err != nil {
			return
		}
		last = f.Number
		if f.JPEG == nil {
			continue
		}
		if WritePart(w, f) != nil {
			return
		}
		s.Metrics.served.Inc()
	}
}

// BeginParts begins the pictures of a stream, before there is one.
func BeginParts(w http.ResponseWriter) error {
	if _, err := io.WriteString(w, "--"+boundary+"\r\n"); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// WritePart sends one picture of a stream, and the boundary after it, at which
// browsers show it.
func WritePart(w http.ResponseWriter, f Frame) error {
	head := fmt.Sprintf("Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Frame: %d\r\n\r\n", len(f.JPEG), f.Number)
	for _, part := range [][]byte{[]byte(head), f.JPEG, []byte("\r\n--" + boundary + "\r\n")} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return http.NewResponseController(w).Flush()
}

// snapshot sends one picture.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	f, ok := first(r.Context(), s.Latest)
	if !ok {
		http.Error(w, "there is no picture at present: look at the broker's log", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Length", strconv.Itoa(len(f.JPEG)))
	w.Header().Set("Cache-Control", "no-store")
	if _, err := w.Write(f.JPEG); err == nil {
		s.Metrics.served.Inc()
	}
}

// first returns the newest picture, and waits a little if there is none.
func first(ctx context.Context, l *Latest) (Frame, bool) {
	f, ok := l.Last()
	if ok {
		return f, true
	}
	ctx, cancel := context.WithTimeout(ctx, firstWait)
	defer cancel()
	for {
		next, err := l.Next(ctx, f.Number)
		if err != nil {
			return Frame{}, false
		}
		if f = next; f.JPEG != nil {
			return f, true
		}
	}
}
