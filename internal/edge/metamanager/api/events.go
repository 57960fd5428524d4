package api

import (
	"encoding/json"
	"net/http"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// queueEvent has an Event wait for the cloud.
func (s *Server) queueEvent(w http.ResponseWriter, r *http.Request, t target, user User, body []byte) {
	var h store.Head
	if err := json.Unmarshal(body, &h); err != nil || h.Metadata.Name == "" || len(body) > outbox.MaxEventBytes {
		fail(w, unavailable("the link to cloudcore is cut: an Event waits for it only as JSON with a name, of at most 16 KiB"))
		return
	}
	t.name = h.Metadata.Name
	err := s.Outbox.Post(r.Context(), store.Entry{Key: t.key(), Kind: outbox.Event, Call: edgev1.Call{
		As: user.As, Method: http.MethodPost, Path: r.URL.EscapedPath(), ContentType: "application/json",
		Accept: "application/json", Body: body,
	}})
	if err != nil {
		fail(w, err)
		return
	}
	writeRaw(w, http.StatusCreated, "application/json", body)
}
