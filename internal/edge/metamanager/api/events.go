package api

import (
	"cmp"
	"encoding/json"
	"net/http"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/protobuf"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// queueEvent has an Event wait for the cloud.
func (s *Server) queueEvent(w http.ResponseWriter, r *http.Request, t target, user User, body []byte) {
	contentType := cmp.Or(r.Header.Get("Content-Type"), "application/json")
	if t.name = nameIn(contentType, body); t.name == "" || len(body) > outbox.MaxEventBytes {
		fail(w, unavailable("the link to cloudcore is cut: an Event waits for it only with a name, and with at most 16 KiB"))
		return
	}
	err := s.Outbox.Post(r.Context(), store.Entry{Key: t.key(), Kind: outbox.Event, Call: edgev1.Call{
		As: user.As, Method: http.MethodPost, Path: r.URL.EscapedPath(), ContentType: contentType,
		Accept: "application/json", Body: body,
	}})
	if err != nil {
		fail(w, err)
		return
	}
	writeRaw(w, http.StatusCreated, contentType, body) // who writes it so can read it
}

// nameIn returns the name of the object in a body, "" if it has none.
func nameIn(contentType string, body []byte) string {
	if mediaType(contentType) == protobuf.ContentType {
		h, err := protobuf.ReadHead(body)
		if err != nil {
			return ""
		}
		return h.Name
	}
	var h store.Head
	if json.Unmarshal(body, &h) != nil {
		return ""
	}
	return h.Metadata.Name
}
