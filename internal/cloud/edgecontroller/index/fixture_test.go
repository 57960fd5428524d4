package index

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/leaktest"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/testlog"
)

// heard is a listener that notes what it is told.
type heard struct {
	mu     sync.Mutex
	keys   []string // in order: name, or -name for what is gone
	synced int
	back   int
	failed error
}

func (h *heard) Changed(k Key, gone string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := k.Name
	if gone != "" {
		name = "-" + name
	}
	h.keys = append(h.keys, name)
}

func (h *heard) Synced() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.synced++
}

func (h *heard) Failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = err
}

func (h *heard) WentBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.back++
}

func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := strings.Join(h.keys, " ")
	h.keys = nil
	return out
}

func (h *heard) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// run makes an index that runs until the test ends.
func run(t *testing.T, cfg *rest.Config, o Options) *Index {
	t.Helper()
	client, err := kube.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := &testlog.Buffer{}
	o.Client = client
	if o.Logger, err = logging.New(log, "debug"); err != nil {
		t.Fatal(err)
	}
	x := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return x
}

func follow(t *testing.T, x *Index, s Selection, node string, as kube.User) (*Subscription, *heard) {
	t.Helper()
	s, err := Canonical(s)
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{}
	sub, err := x.Follow(s, node, as, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return sub, h
}

// names are those of the subscription's objects, once they are known.
func names(sub *Subscription) (string, error) {
	items, _, synced := sub.Items()
	if !synced {
		return "", fmt.Errorf("not synced")
	}
	var out []string
	for _, i := range items {
		out = append(out, i.Name+"@"+i.Version)
	}
	slices.Sort(out)
	return strings.Join(out, " "), nil
}

// has waits until the subscription has those objects.
func has(t *testing.T, sub *Subscription, want string) {
	t.Helper()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if got, err := names(sub); err != nil || got != want {
			return cmp.Or(err, fmt.Errorf("it has %q, want %q", got, want))
		}
		return nil
	})
}

// told waits until the listener was told just that.
func told(t *testing.T, h *heard, want string) {
	t.Helper()
	var all string
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if all = strings.TrimSpace(all + " " + h.take()); all != want {
			return fmt.Errorf("it was told %q, want %q", all, want)
		}
		return nil
	})
}

// script is a pretended API server: it answers each watch with the next step. What
// a real one does with it is in the integration tests; this one does what a real
// one cannot be made to do at a given time.
type script struct {
	t     *testing.T
	mu    sync.Mutex
	steps []step
	seen  []string // version or "list", and user, of each request
	open  map[chan struct{}]bool
}

// step is the answer to one watch.
type step struct {
	code   int      // 0: 200
	events []string // see line
	stay   bool     // the watch stays open until it is cut or the client goes
}

func newScript(t *testing.T, steps ...step) (*script, *rest.Config) {
	leaktest.Check(t)
	s := &script{t: t, steps: steps, open: map[chan struct{}]bool{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(s.cut)
	return s, &rest.Config{Host: server.URL}
}

// line is an event: "+a@1" has a in version 1, "-a@2" has it gone in version 2,
// "end@3" ends the list, "mark@4" is a bookmark, and "!410" an error.
func line(event string) string {
	text, version, _ := strings.Cut(event, "@")
	kind, meta := "BOOKMARK", map[string]any{"resourceVersion": version}
	switch {
	case text[0] == '!':
		return `{"type":"ERROR","object":` + status(text[1:]) + "}"
	case text == "end":
		meta["annotations"] = map[string]string{"k8s.io/initial-events-end": "true"}
	case text != "mark":
		kind = map[byte]string{'+': "ADDED", '-': "DELETED"}[text[0]]
		meta["name"], meta["namespace"], meta["uid"] = text[1:], "x", "u"+text[1:]
	}
	data, err := json.Marshal(map[string]any{"type": kind, "object": map[string]any{"metadata": meta}})
	if err != nil {
		panic(err) // maps of texts
	}
	return string(data)
}

func status(code string) string {
	return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":%s,"message":"it is %s","reason":%q}`,
		code, code, map[string]string{"403": "Forbidden", "404": "NotFound", "410": "Expired"}[code])
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	q := r.URL.Query()
	from := q.Get("resourceVersion")
	if q.Get("sendInitialEvents") == "true" {
		from = "list"
	}
	s.seen = append(s.seen, strings.TrimSpace(from+" "+r.Header.Get("Impersonate-User")))
	if len(s.steps) == 0 {
		s.mu.Unlock()
		http.Error(w, "the script has ended", http.StatusServiceUnavailable)
		return
	}
	now := s.steps[0]
	s.steps = s.steps[1:]
	cut := make(chan struct{})
	s.open[cut] = true
	s.mu.Unlock()
	if now.code != 0 {
		w.WriteHeader(now.code)
		fmt.Fprint(w, status(fmt.Sprint(now.code)))
		return
	}
	w.WriteHeader(http.StatusOK)
	for _, e := range now.events {
		fmt.Fprintln(w, line(e))
	}
	w.(http.Flusher).Flush()
	if now.stay {
		select {
		case <-r.Context().Done():
		case <-cut:
			panic(http.ErrAbortHandler) // the connection breaks
		}
	}
}

// cut breaks all open watches.
func (s *script) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		close(c)
		delete(s.open, c)
	}
}

// asked waits until these watches were asked for.
func (s *script) asked(want ...string) {
	s.t.Helper()
	eventually.Succeeds(s.t, eventually.Patience, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Equal(s.seen, want) {
			return fmt.Errorf("watches were %q, want %q", s.seen, want)
		}
		return nil
	})
}
