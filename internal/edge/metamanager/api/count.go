package api

import (
	"maps"
	"net/http"
)

// Request is a kind of request, for statistics.
type Request struct {
	Verb string // as in RBAC rules; other for what is none
	Code int
}

// Stats are numbers since edgecore started, but for Watches, which are open now.
type Stats struct {
	Requests map[Request]uint64
	Watches  int
}

// Stats returns what clients have asked for.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Requests: maps.Clone(s.requests), Watches: s.watches.open()}
}

// counting notes how a request is answered; end is called then. What is no
// resource, such as discovery, has the verb get.
func (s *Server) counting(w http.ResponseWriter, r *http.Request) (counter http.ResponseWriter, end func()) {
	c := &counted{ResponseWriter: w}
	return c, func() {
		t, ok := parsePath(r.URL.Path)
		does := verb(r.Method, t, boolParam(r.URL.Query(), "watch"))
		if !ok && does == "list" {
			does = "get"
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests[Request{does, c.code}]++
	}
}

// counted has the code of an answer.
type counted struct {
	http.ResponseWriter
	code int
}

func (c *counted) WriteHeader(code int) {
	if c.code == 0 {
		c.code = code
	}
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// verb is what a request does, as RBAC calls it.
func verb(method string, t target, watch bool) string {
	one := t.name != ""
	switch method {
	case http.MethodGet, http.MethodHead:
		switch {
		case watch:
			return "watch"
		case one:
			return "get"
		}
		return "list"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if one {
			return "delete"
		}
		return "deletecollection"
	}
	return "other"
}
