package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// serveCut answers what would be written while the link is cut.
func (s *Server) serveCut(w http.ResponseWriter, r *http.Request, t target, user User, body []byte) {
	own := user.As == edgev1.As{}
	core := t.resource.Group == "" && t.resource.Version == "v1"
	switch {
	case r.URL.Query().Has("dryRun"):
	case own && core && r.Method == http.MethodPatch && t.subresource == "status" && t.name != "" &&
		(t.resource.Name == "pods" || t.resource.Name == "nodes"):
		s.overlay(w, r, t, body)
		return
	case r.Method == http.MethodPost && t.name == "" && isEvent(t):
		s.queueEvent(w, r, t, user, body)
		return
	case r.Method == http.MethodPatch && t.subresource == "" && isEvent(t):
		// Who made it makes a new one then.
		fail(w, apierrors.NewNotFound(t.groupResource(), t.name))
		return
	case own && r.Method == http.MethodPost && t.subresource == "" && (t.resource.Name == "nodes" ||
		t.resource.Name == "csinodes"):
		// The kubelet registers at each start.
		var h store.Head
		if json.Unmarshal(body, &h) == nil {
			t.name = h.Metadata.Name
			if o, _, _ := s.Store.Known(t.key(), user.As); o != nil {
				fail(w, apierrors.NewAlreadyExists(t.groupResource(), t.name))
				return
			}
		}
	}
	fail(w, unavailable("the link to cloudcore is cut: this cannot be done now"))
}

func isEvent(t target) bool {
	return t.resource.Name == "events" && t.namespace != "" && (t.resource.Group == "" ||
		t.resource.Group == "events.k8s.io")
}

// overlay takes a status patch.
func (s *Server) overlay(w http.ResponseWriter, r *http.Request, t target, body []byte) {
	contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if contentType != "application/strategic-merge-patch+json" {
		fail(w, unavailable("the link to cloudcore is cut: of patches of a status only strategic merge patches are taken now"))
		return
	}
	if err := s.Store.Healthy(); err != nil {
		fail(w, insufficientStorage(err))
		return
	}
	var schema any = corev1.Pod{}
	if t.resource.Name == "nodes" {
		schema = corev1.Node{}
	}
	o, err := s.Store.Overlay(t.key(), func(old *store.Object) ([]byte, error) { return patchStatus(old, body, schema) })
	s.answer(w, t, o, err)
}

// patchStatus applies a strategic merge patch of a status, as the API server
// does: the spec stays, and so does the identity. A uid in the patch is a
// precondition.
func patchStatus(old *store.Object, patch []byte, schema any) ([]byte, error) {
	var head struct {
		Metadata struct {
			UID             string `json:"uid"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(patch, &head); err != nil {
		return nil, apierrors.NewBadRequest("patch: " + err.Error())
	}
	if uid := head.Metadata.UID; uid != "" && uid != old.UID {
		return nil, status(http.StatusConflict, metav1.StatusReasonConflict, fmt.Sprintf(
			"Operation cannot be fulfilled on %s %q: Precondition failed: UID in precondition: %s, UID in object meta: %s",
			old.Resource.Name, old.Name, uid, old.UID))
	}
	if _, err := versionToCloud(old, head.Metadata.ResourceVersion); err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergePatch(old.JSON, patch, schema)
	if err != nil {
		return nil, status(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "patch: "+err.Error())
	}
	var before, after map[string]json.RawMessage
	if err := json.Unmarshal(old.JSON, &before); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(merged, &after); err != nil {
		return nil, err
	}
	for _, name := range []string{"apiVersion", "kind", "spec"} {
		after[name] = before[name]
		if before[name] == nil {
			delete(after, name)
		}
	}
	meta, err := keepIdentity(before["metadata"], after["metadata"])
	if err != nil {
		return nil, err
	}
	after["metadata"] = meta
	return json.Marshal(after)
}

// keepIdentity takes only labels and annotations of the metadata after.
func keepIdentity(before, after json.RawMessage) (json.RawMessage, error) {
	var old, next map[string]json.RawMessage
	if err := json.Unmarshal(before, &old); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(after, &next); err != nil {
		return nil, apierrors.NewBadRequest("patch: metadata: " + err.Error())
	}
	for _, name := range []string{"labels", "annotations"} {
		delete(old, name)
		if next[name] != nil {
			old[name] = next[name]
		}
	}
	return json.Marshal(old)
}
