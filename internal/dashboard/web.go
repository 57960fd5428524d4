package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/explain"
)

//go:embed page
var page embed.FS

// policy lets the page load what this program serves; nothing is inline, and no
// other address is called.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const (
	// maxViewers is how many browsers look at a time.
	maxViewers = 50
	// keepAliveInterval is the longest time between two messages, and sendTimeout
	// how long a browser may take for one.
	keepAliveInterval = 15 * time.Second
	sendTimeout       = 20 * time.Second
	// maxQuestions is how many questions are worked on at a time, and
	// questionTimeout how long others wait.
	maxQuestions    = 4
	questionTimeout = 5 * time.Second
	maxNameBytes    = 1024
)

// handler serves the page and what it asks for.
func handler(k *keeper, a *access) (http.Handler, error) {
	mux := http.NewServeMux()
	files, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		at := "/" + name
		if name == "index.html" {
			at = "/{$}"
		}
		mux.Handle("GET "+at, static(name, data))
		return nil
	})
	if err != nil {
		return nil, err
	}
	questions := bounded.NewGate(maxQuestions, maxQuestions)
	mux.HandleFunc("POST /api/login", a.login)
	mux.Handle("GET /api/session", a.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})))
	mux.Handle("GET /api/live", a.guard(http.HandlerFunc(k.live)))
	mux.Handle("GET /api/board", a.guard(questions.Handler(questionTimeout, http.HandlerFunc(k.state))))
	mux.Handle("GET /api/explain", a.guard(questions.Handler(questionTimeout, http.HandlerFunc(k.answer))))
	return a.hosts(headers(mux)), nil
}

// headers are those of all answers.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func static(name string, data []byte) http.Handler {
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(data))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	})
}

// live sends the board as server-sent events: all of it, and then what changes.
func (k *keeper) live(w http.ResponseWriter, r *http.Request) {
	viewer, ok := k.feed.Join()
	if !ok {
		bounded.Busy(w, fmt.Sprintf("%d browsers look already, and there may be no more", maxViewers))
		return
	}
	defer viewer.Leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // for nginx, which would collect messages
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // it lasts as long as the page is open
	beat := time.NewTicker(keepAliveInterval)
	defer beat.Stop()
	message := [][]byte{[]byte("retry: 2000\n\n")} // in parts: what is sent to many is not copied for each
	for {
		_ = out.SetWriteDeadline(time.Now().Add(sendTimeout)) // for this message
		for _, part := range message {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-viewer.News():
			data := viewer.Take()
			if data == nil {
				message = nil
				continue
			}
			message = [][]byte{[]byte("data: "), data, []byte("\n\n")}
		case <-beat.C:
			message = [][]byte{[]byte(": still here\n\n")}
		}
	}
}

// state answers with the whole board, for programs.
func (k *keeper) state(w http.ResponseWriter, _ *http.Request) {
	board := map[string]any{}
	for _, e := range k.board(maxAge) {
		board[e.Key] = e.Value
	}
	answer(w, http.StatusOK, board)
}

// answer answers a question about one thing, or the whole cluster.
func (k *keeper) answer(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s := explain.Subject{Kind: explain.Kind(q.Get("kind")), Namespace: q.Get("namespace"), Name: q.Get("name")}
	if (s.Name == "") != (s.Kind == "") || len(s.Name)+len(s.Namespace)+len(s.Kind) > maxNameBytes {
		http.Error(w, "ask with ?kind=Device&name=…, or without; kinds are Configuration, Device, Node and Pod", http.StatusBadRequest)
		return
	}
	details, err := k.explain(s)
	var unknown *explain.UnknownError
	switch {
	case errors.As(err, &unknown):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		answer(w, http.StatusOK, details)
	}
}

func answer(w http.ResponseWriter, status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(data, '\n'))
}
