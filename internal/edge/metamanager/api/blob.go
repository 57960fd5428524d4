package api

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// Aggregated is the Accept header of aggregated discovery (KEP-3352).
const Aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// blobAccept makes the many Accept headers for discovery and OpenAPI two:
// aggregated discovery and plain JSON. The keys of tokens have one of their own.
func blobAccept(path, accept string) string {
	if path == keysPath {
		return keysType
	}
	if path == "/api" || path == "/apis" {
		for part := range strings.SplitSeq(accept, ",") {
			kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
			if err != nil {
				continue
			}
			if kind == "application/json" && params["as"] == "APIGroupDiscoveryList" && params["v"] == "v2" &&
				params["g"] == "apidiscovery.k8s.io" {
				return Aggregated
			}
			if params["as"] == "" && (kind == "application/json" || kind == "*/*") {
				break // it prefers that
			}
		}
	}
	return "application/json"
}

// blobQuery keeps of the query what the answer depends on: the hash of a
// document. The API server has one for each, so nobody can have more stored.
func blobQuery(r *http.Request) string {
	if hash := r.URL.Query().Get("hash"); strings.HasPrefix(r.URL.Path, "/openapi/v3/") && hash != "" && len(hash) < 300 {
		return url.Values{"hash": {hash}}.Encode()
	}
	return ""
}

func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, user User) {
	b, err := s.blob(r.Context(), user.As, r.URL.EscapedPath(), blobQuery(r), blobAccept(r.URL.Path, r.Header.Get("Accept")))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Vary", "Accept")
	writeRaw(w, http.StatusOK, b.Type, b.Body)
}

// blob asks the cloud, or returns what it said last, to whomever: every user may
// read these, unless a cluster has taken the rights away that all have by default.
func (s *Server) blob(ctx context.Context, as edgev1.As, path, query, accept string) (store.Blob, error) {
	key := path
	if query != "" {
		key += "?" + query
	}
	if s.Cloud.Linked() {
		reply, err := s.call(ctx, edgev1.Call{As: as, Method: http.MethodGet, Path: path, Query: query, Accept: accept})
		switch {
		case err == nil && reply.Status == http.StatusOK:
			b := store.Blob{Type: reply.ContentType, Fetched: time.Now(), Body: reply.Body}
			if err := s.Store.SetBlob(ctx, key, accept, b); err != nil {
				s.Log.Debug("discovery is not stored", "path", key, "error", err)
			}
			return b, nil
		case err == nil && reply.Status < 500:
			return store.Blob{}, replyError(reply)
		}
	}
	if b, ok := s.Store.Blob(ctx, key, accept); ok {
		return b, nil
	}
	return store.Blob{}, store.ErrNotSynced
}

// Prefetch has in the store what clients ask for before anything else, so that
// they find it while the link is cut. It is called when the link is up.
func (s *Server) Prefetch(ctx context.Context) {
	for _, want := range [][2]string{{"/api", Aggregated}, {"/apis", Aggregated}, {"/version", "application/json"}} {
		if b, ok := s.Store.Blob(ctx, want[0], want[1]); ok && time.Since(b.Fetched).Abs() < 24*time.Hour {
			continue
		}
		if _, err := s.blob(ctx, edgev1.As{}, want[0], "", want[1]); err != nil {
			s.Log.Debug("discovery is not prefetched", "path", want[0], "error", err)
		}
	}
	s.prefetchKeys(ctx)
}

// kinds knows the kind of each resource, by the documents of /api/v1 and
// /apis/<group>/<version>.
type kinds struct {
	mu  sync.Mutex
	all map[string]map[string]string // apiVersion → resource → kind
}

// maxGroupVersions bounds the kinds that are remembered.
const maxGroupVersions = 256

func (k *kinds) get(r store.Resource) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[r.GroupVersion()][r.Name]
}

func (k *kinds) set(groupVersion string, list metav1.APIResourceList) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil || len(k.all) >= maxGroupVersions {
		k.all = map[string]map[string]string{}
	}
	m := map[string]string{}
	for _, r := range list.APIResources {
		m[r.Name] = r.Kind
	}
	k.all[groupVersion] = m
}

// kindOf returns the kind of a resource.
func (s *Server) kindOf(ctx context.Context, r store.Resource) (string, error) {
	if kind := s.kinds.get(r); kind != "" {
		return kind, nil
	}
	path := "/api/" + r.Version
	if r.Group != "" {
		path = "/apis/" + r.Group + "/" + r.Version
	}
	b, stored := s.Store.Blob(ctx, path, "application/json")
	for range 2 {
		if stored {
			var list metav1.APIResourceList
			if json.Unmarshal(b.Body, &list) == nil {
				s.kinds.set(r.GroupVersion(), list)
			}
			if kind := s.kinds.get(r); kind != "" {
				return kind, nil
			}
		}
		var err error
		if b, err = s.blob(ctx, edgev1.As{}, path, "", "application/json"); err != nil {
			return "", err
		}
		stored = true
	}
	return "", notFoundPath()
}
