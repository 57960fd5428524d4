package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// deletePod deletes a Pod while the link is cut, as the kubelet asks for it when
// the containers of a Pod that is to go have ended. Here it is gone at once; the
// cloud hears of it later, with the UID as precondition.
func (s *Server) deletePod(w http.ResponseWriter, r *http.Request, t target, body []byte) {
	o, _, known := s.Store.Known(t.key(), edgev1.As{})
	switch {
	case o == nil && known:
		fail(w, apierrors.NewNotFound(t.groupResource(), t.name))
		return
	case o == nil:
		fail(w, store.ErrNotSynced)
		return
	}
	options, err := deletion(o, body)
	if err != nil {
		fail(w, err)
		return
	}
	deletes := o.UID
	if h, err := store.ReadHead(o.JSON); err != nil || len(h.Metadata.Finalizers) > 0 {
		deletes = "" // who has the finalizers is in the cloud
	}
	err = s.Outbox.Post(r.Context(), store.Entry{
		Key: t.key(), Kind: outbox.Delete, Durable: true, Deletes: deletes, Call: edgev1.Call{
			Method: http.MethodDelete, Path: t.path(), ContentType: "application/json", Accept: "application/json",
			Body: options,
		}})
	s.answer(w, t, o, err)
}

// deletion reads the options of a deletion that can be made while the link is
// cut, and returns those that the cloud gets: a local resourceVersion is checked
// here, and means nothing there.
func deletion(o *store.Object, body []byte) ([]byte, error) {
	var options metav1.DeleteOptions
	if json.Unmarshal(body, &options) != nil || len(options.DryRun) > 0 || options.GracePeriodSeconds == nil ||
		*options.GracePeriodSeconds != 0 || options.Preconditions == nil || options.Preconditions.UID == nil {
		return nil, unavailable("the link to cloudcore is cut: a Pod can be deleted now only with gracePeriodSeconds 0 and its uid as precondition")
	}
	if uid := string(*options.Preconditions.UID); uid != o.UID {
		return nil, status(http.StatusConflict, metav1.StatusReasonConflict, fmt.Sprintf(
			"Operation cannot be fulfilled on %s %q: Precondition failed: UID in precondition: %s, UID in object meta: %s",
			o.Resource.Name, o.Name, uid, o.UID))
	}
	if rv := options.Preconditions.ResourceVersion; rv != nil {
		if _, err := versionToCloud(o, *rv); err != nil {
			return nil, err
		}
		options.Preconditions.ResourceVersion = nil
	}
	options.TypeMeta = metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}
	return json.Marshal(options)
}
