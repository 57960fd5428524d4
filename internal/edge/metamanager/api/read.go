package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/selector"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// interestOf is the interest that a list or a watch asks for.
func interestOf(t target, q url.Values, user User) (edgev1.Interest, error) {
	field := q.Get("fieldSelector")
	if t.name != "" { // a watch of one object may name it in the path
		if field != "" {
			field += ","
		}
		field += t.selector()
	}
	sel, err := selector.Parse(t.resource.Group, t.resource.Name, q.Get("labelSelector"), field)
	if err != nil {
		return edgev1.Interest{}, apierrors.NewBadRequest(err.Error())
	}
	return edgev1.Interest{
		Group: t.resource.Group, Version: t.resource.Version, Resource: t.resource.Name, Namespace: t.namespace,
		FieldSelector: sel.Fields(), LabelSelector: sel.Labels(), As: user.reader(),
	}, nil
}

// ready makes sure that an interest is in the store.
func (s *Server) ready(ctx context.Context, what edgev1.Interest) error {
	if s.Store.Synced(what) {
		return nil
	}
	if !s.Cloud.Linked() {
		return store.ErrNotSynced
	}
	ctx, cancel := context.WithTimeout(ctx, wantTimeout)
	defer cancel()
	err := s.Cloud.Want(ctx, what)
	if err != nil && !s.Cloud.Linked() {
		return store.ErrNotSynced // the link was cut meanwhile
	}
	return err
}

// versionRule checks the resourceVersion of a read. A store has one state, the
// newest.
func (s *Server) versionRule(q url.Values) error {
	rv := q.Get("resourceVersion")
	match := q.Get("resourceVersionMatch")
	if match != "" && match != "NotOlderThan" && match != "Exact" {
		return apierrors.NewBadRequest("resourceVersionMatch: want Exact or NotOlderThan")
	}
	if q.Get("continue") != "" {
		return expired() // no list here has pages
	}
	if rv == "" || rv == "0" {
		return nil
	}
	n, err := strconv.ParseUint(rv, 10, 64)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q", rv))
	}
	switch have := s.Store.RV(); {
	case n > have:
		return tooLarge()
	case match == "Exact" && n != have:
		return expired()
	}
	return nil
}

func (s *Server) serveList(w http.ResponseWriter, r *http.Request, t target, user User) {
	q := r.URL.Query()
	what, err := interestOf(t, q, user)
	list := s.Store.List
	if err == nil {
		if err = s.ready(r.Context(), what); user.isPod() && apierrors.IsForbidden(err) {
			s.pass(w, r, user) // it may list, and not watch
			return
		}
	}
	if errors.Is(err, store.ErrNotSynced) {
		list, err = s.Store.ListWithin, nil // kubectl get pod NAME, of a Pod that the kubelet follows
	}
	if err == nil {
		err = s.versionRule(q)
	}
	var objects []*store.Object
	var rv uint64
	if err == nil {
		objects, rv, err = list(what)
	}
	var kind string
	if err == nil {
		kind, err = s.kindOf(r.Context(), t.resource)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	write := func(b []byte) {
		if err == nil {
			_, err = w.Write(b)
		}
	}
	write(fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d"},"items":[`, kind+"List",
		t.resource.GroupVersion(), rv))
	for i, o := range objects {
		if i > 0 {
			write([]byte(","))
		}
		write(s.shown(o))
	}
	write([]byte("]}\n"))
}

// serveGet answers from the store where a watch keeps the object current, and
// asks the cloud otherwise.
func (s *Server) serveGet(w http.ResponseWriter, r *http.Request, t target, user User) {
	if isPodsLease(t, user) {
		s.pass(w, r, user)
		return
	}
	if s.asksTooEarly(t, user) {
		fail(w, registerFirst())
		return
	}
	if err := s.versionRule(r.URL.Query()); err != nil {
		fail(w, err)
		return
	}
	o, live, known := s.Store.Known(t.key(), user.reader())
	if !live && s.Cloud.Linked() {
		var err error
		if o, err = s.fetch(r.Context(), t, user); err == nil || s.Cloud.Linked() || !known {
			s.answer(w, t, o, err)
			return
		}
	}
	if !known {
		fail(w, store.ErrNotSynced)
		return
	}
	s.answer(w, t, o, nil)
}

func (s *Server) answer(w http.ResponseWriter, t target, o *store.Object, err error) {
	switch {
	case err != nil:
		fail(w, err)
	case o == nil:
		fail(w, apierrors.NewNotFound(t.groupResource(), t.name))
	default:
		writeRaw(w, http.StatusOK, "application/json", s.shown(o))
	}
}

// fetch gets one object from the cloud, and has it in the store from then on: it
// is read again whenever the link is. It returns nil if there is none.
func (s *Server) fetch(ctx context.Context, t target, user User) (*store.Object, error) {
	what := edgev1.Interest{
		Group: t.resource.Group, Version: t.resource.Version, Resource: t.resource.Name, Namespace: t.namespace,
		FieldSelector: t.selector(), As: user.reader(), Get: true,
	}
	reply, err := s.call(ctx, edgev1.Call{As: what.As, Method: http.MethodGet, Path: t.path(), Accept: "application/json"})
	if err != nil {
		return nil, err
	}
	switch reply.Status {
	case http.StatusOK:
	case http.StatusNotFound:
		if !isObjectNotFound(reply.Body, t.name) {
			return nil, replyError(reply) // there is no such resource
		}
		if err := s.Store.Add(what); err != nil {
			return nil, err
		}
		s.Store.Gone(what, edgev1.Item{Namespace: t.namespace, Name: t.name})
		s.Store.Complete(what, "")
		return nil, nil
	case http.StatusForbidden:
		s.Store.Drop(what) // it may have been allowed before
		return nil, replyError(reply)
	default:
		return nil, replyError(reply)
	}
	h, err := store.ReadHead(reply.Body)
	if err != nil {
		return nil, fmt.Errorf("what cloudcore answered: %w", err)
	}
	if err := s.Store.Add(what); err != nil {
		return nil, err
	}
	if err := s.Store.Put(what, h.Metadata.ResourceVersion, reply.Body); err != nil && !errors.Is(err, store.ErrBuried) {
		return nil, err
	}
	s.Store.Complete(what, h.Metadata.ResourceVersion)
	return s.Store.Get(t.key()), nil
}

// path is the path of the target's object, as it stands in a request line.
func (t target) path() string {
	p := "/api/" + url.PathEscape(t.resource.Version)
	if t.resource.Group != "" {
		p = "/apis/" + url.PathEscape(t.resource.Group) + "/" + url.PathEscape(t.resource.Version)
	}
	if t.namespace != "" {
		p += "/namespaces/" + url.PathEscape(t.namespace)
	}
	p += "/" + url.PathEscape(t.resource.Name)
	if t.name != "" {
		p += "/" + url.PathEscape(t.name)
	}
	return p
}
