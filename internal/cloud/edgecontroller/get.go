package edgecontroller

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/grant"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// get answers a Have of an interest that is only read.
func (i *interest) get(has *edgev1.Have) {
	s := i.s
	o, err := i.read()
	if err != nil && !apierrors.IsNotFound(err) {
		if s.ctx.Err() != nil {
			return
		}
		s.c.complaints.Log(s.c.Log, slog.LevelWarn, "an object cannot be read; trying again", "node", s.node,
			"resource", i.spec.Resource, "error", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		if i.refused++; i.refused >= maxReadRefusals && kube.Refused(err) && !kube.NotImpersonated(err) {
			s.end(i, err)
			return
		}
		time.AfterFunc(retry.Delay(i.refused), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.queue(i)
		})
		return
	}
	s.mu.Lock()
	current := i.has == has && !i.ended
	if current {
		i.has, i.refused = nil, 0
	} else {
		s.queue(i)
	}
	s.mu.Unlock()
	if !current {
		return
	}
	name, namespace := "", i.spec.Namespace
	if sel, err := grant.SelectionOf(&i.spec); err == nil {
		name, _ = grant.NameOf(sel)
	}
	version := ""
	switch {
	case o == nil:
		for _, item := range has.Items {
			s.send(&edgev1.Gone{ID: i.spec.ID, Item: edgev1.Item{Namespace: namespace, Name: name, UID: item.UID}})
		}
		if len(has.Items) == 0 && len(has.Digest) > 0 {
			// Which one it has is not known yet.
			s.send(&edgev1.Differ{ID: i.spec.ID})
			return
		}
	default:
		version = o.Version
		digest := edgev1.Digest([]edgev1.Item{{Namespace: namespace, Name: name, UID: o.UID, Version: o.Version}})
		if !bytes.Equal(digest, has.Digest) {
			s.send(&edgev1.Put{ID: i.spec.ID, Version: o.Version, Object: o.JSON})
		}
	}
	s.send(&edgev1.Synced{ID: i.spec.ID, Version: version})
}

// read reads the one object, nil if there is none.
func (i *interest) read() (*index.Object, error) {
	sel, err := grant.SelectionOf(&i.spec)
	if err != nil {
		return nil, err
	}
	name, _ := grant.NameOf(sel)
	ctx, cancel := context.WithTimeout(i.s.ctx, readTimeout)
	defer cancel()
	resp, err := i.s.c.Client.Open(ctx, i.as, kube.Request{Method: http.MethodGet, Path: sel.Path() + "/" + name})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := kube.Failure(resp); err != nil {
		return nil, err
	}
	data, err := kube.ReadLimited(resp.Body, maxObjectBytes)
	if err != nil {
		return nil, err
	}
	return index.ObjectOf(data)
}
