package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// watchRequest is what the query of a watch says.
type watchRequest struct {
	rv        uint64 // 0: from now, beginning with what there is
	initial   bool   // WatchList (KEP-3157): what there is, then a bookmark that says so
	bookmarks bool
	timeout   time.Duration
}

// readWatch reads the query of a watch, with the rules of the API server
// (ValidateListOptions in apimachinery).
func readWatch(q url.Values) (watchRequest, error) {
	r := watchRequest{bookmarks: boolParam(q, "allowWatchBookmarks"), initial: boolParam(q, "sendInitialEvents"),
		timeout: backoff.Jitter(watchAtMost, 0.5)}
	match := q.Get("resourceVersionMatch")
	switch {
	case q.Has("sendInitialEvents") && match != "NotOlderThan":
		return r, apierrors.NewBadRequest("sendInitialEvents requires resourceVersionMatch NotOlderThan")
	case !q.Has("sendInitialEvents") && match != "":
		return r, apierrors.NewBadRequest("resourceVersionMatch is forbidden for a watch without sendInitialEvents")
	}
	if rv := q.Get("resourceVersion"); rv != "" && rv != "0" {
		n, err := strconv.ParseUint(rv, 10, 64)
		if err != nil {
			return r, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q", rv))
		}
		r.rv = n
	}
	if text := q.Get("timeoutSeconds"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return r, apierrors.NewBadRequest(fmt.Sprintf("timeoutSeconds: Invalid value: %q", text))
		}
		if n > 0 {
			r.timeout = min(time.Duration(n)*time.Second, watchAtMost)
		}
	}
	return r, nil
}

func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request, user User) {
	if !s.watches.enter(user) {
		fail(w, status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
			"there are as many watches as there may be, on this node or of this service account"))
		return
	}
	defer s.watches.leave(user)
	t, ok := parsePath(r.URL.Path)
	if !ok || t.subresource != "" {
		fail(w, notFoundPath())
		return
	}
	if !acceptsJSON(r.Header.Get("Accept")) {
		fail(w, status(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
			"the answers of the edge node's local API are application/json"))
		return
	}
	req, err := readWatch(r.URL.Query())
	var what edgev1.Interest
	if err == nil {
		what, err = interestOf(t, r.URL.Query(), user)
	}
	if err == nil {
		err = s.ready(r.Context(), what)
	}
	from := source{s.Store.List, s.Store.Watch}
	if errors.Is(err, store.ErrNotSynced) {
		from = source{s.Store.ListWithin, s.Store.WatchWithin}
		_, _, err = from.list(what)
	}
	var kind string
	if err == nil {
		kind, err = s.kindOf(r.Context(), t.resource)
	}
	if err == nil && req.rv > s.Store.RV() {
		err = tooLarge()
	}
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), req.timeout)
	defer cancel()
	st := &stream{w: w, control: http.NewResponseController(w), shown: s.shown, kind: kind, apiVersion: t.resource.GroupVersion()}
	st.run(ctx, from, what, req)
}

// source is where a watch comes from: what is followed, or a part of it.
type source struct {
	list  func(edgev1.Interest) ([]*store.Object, uint64, error)
	watch func(edgev1.Interest, uint64) (*store.Watch, error)
}

// stream writes a watch.
type stream struct {
	w                http.ResponseWriter
	control          *http.ResponseController
	shown            func(*store.Object) []byte
	kind, apiVersion string
	buf              bytes.Buffer
	marked           uint64 // RV of the last bookmark
}

func (s *stream) run(ctx context.Context, from source, what edgev1.Interest, req watchRequest) {
	_ = s.control.SetReadDeadline(time.Time{}) // nothing more is read; of HTTP/1.1 only
	s.w.Header().Set("Content-Type", "application/json")
	s.w.WriteHeader(http.StatusOK)
	// The API server, too, answers 200 and tells what is wrong in an event.
	rv := req.rv
	if rv == 0 || req.initial {
		objects, now, err := from.list(what)
		if err != nil {
			s.error(err)
			return
		}
		rv = now
		for _, o := range objects {
			s.event(store.Added, s.shown(o))
			if s.buf.Len() > 256<<10 && s.flush() != nil {
				return
			}
		}
		if req.initial {
			s.bookmark(rv, true)
		}
	}
	if s.flush() != nil {
		return
	}
	w, err := from.watch(what, rv)
	if err != nil {
		s.error(err)
		return
	}
	defer w.Close()
	for ctx.Err() == nil {
		tick, cancel := context.WithTimeout(ctx, backoff.Jitter(bookmarkEvery, 0.2))
		changes, at, err := w.Next(tick)
		cancel()
		if err != nil {
			s.error(err)
			return
		}
		for _, c := range changes {
			object := s.shown(c.Object)
			if c.Type == store.Deleted {
				object = store.WithRV(object, strconv.FormatUint(c.RV, 10))
			}
			s.event(c.Type, object)
		}
		if len(changes) == 0 && req.bookmarks && at != s.marked {
			s.bookmark(at, false)
		}
		if s.flush() != nil {
			return
		}
	}
}

func (s *stream) event(kind store.ChangeType, object []byte) {
	fmt.Fprintf(&s.buf, `{"type":%q,"object":`, kind)
	s.buf.Write(object)
	s.buf.WriteString("}\n")
}

func (s *stream) bookmark(rv uint64, initialEnd bool) {
	annotations := ""
	if initialEnd {
		annotations = fmt.Sprintf(`,"annotations":{%q:"true"}`, metav1.InitialEventsAnnotationKey)
	}
	s.event("BOOKMARK", fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d"%s}}`, s.kind,
		s.apiVersion, rv, annotations))
	s.marked = rv
}

// error ends a watch with the reason.
func (s *stream) error(err error) {
	if errors.Is(err, store.ErrDropped) {
		err = expired() // list again, and be told why not
	}
	st := asStatus(err)
	st.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if data, err := jsonOf(st); err == nil {
		s.event("ERROR", data)
	}
	_ = s.flush() // the client may have gone
}

// flush sends what is buffered. A client that does not read for so long is let
// go of.
func (s *stream) flush() error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if s.buf.Cap() > 64<<10 {
		s.buf = bytes.Buffer{} // the first one may have been long
	}
	if err == nil {
		err = s.control.Flush()
	}
	// None while nothing is written.
	_ = s.control.SetWriteDeadline(time.Time{})
	return err
}
