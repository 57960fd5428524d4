package edgecontroller

import (
	"log/slog"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// put sends an object as it is now, or that it is gone.
func (i *interest) put(k index.Key, c change) {
	s := i.s
	o, err := i.sub.Read(s.ctx, k)
	switch {
	case err != nil && s.ctx.Err() != nil:
		return
	case err != nil:
		i.unread(k, c, err)
		return
	case o == nil && c.gone == "":
		return // the index will tell with which UID it is gone
	case o == nil:
		i.lastPut = ""
		s.send(&edgev1.Gone{ID: i.spec.ID, Item: edgev1.Item{Namespace: k.Namespace, Name: k.Name, UID: c.gone}})
	case k == i.last && o.Version == i.lastPut:
	case len(o.JSON) > maxObjectBytes:
		s.c.metrics.tooLarge.Inc()
		s.c.complaints.Log(s.c.Log, slog.LevelError, "an object is too large to be sent to edge nodes", "node", s.node,
			"resource", i.spec.Resource, "namespace", k.Namespace, "name", k.Name, "bytes", len(o.JSON))
	default:
		i.last, i.lastPut = k, o.Version
		s.send(&edgev1.Put{ID: i.spec.ID, Version: o.Version, Object: o.JSON})
	}
	i.refused = 0
	if !c.at.IsZero() {
		s.c.metrics.delay.Observe(time.Since(c.at).Seconds())
	}
}

// unread comes back to an object that could not be read.
func (i *interest) unread(k index.Key, c change, err error) {
	s := i.s
	s.c.complaints.Log(s.c.Log, slog.LevelWarn, "an object cannot be read; trying again", "node", s.node,
		"resource", i.spec.Resource, "namespace", k.Namespace, "name", k.Name, "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.refused++; i.refused >= maxReadRefusals && kube.Refused(err) && !kube.NotImpersonated(err) {
		s.end(i, err)
		return
	}
	time.AfterFunc(retry.Delay(i.refused), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i.ended || !i.live {
			return
		}
		if _, newer := i.dirty[k]; !newer {
			i.mark(k, c)
		}
		s.queue(i)
	})
}
