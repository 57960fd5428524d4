package dns

import (
	"context"
	"sync/atomic"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

// rebuildPause is how long records stay before they are made anew, so that many
// changes at once cost one.
const rebuildPause = 200 * time.Millisecond

// headlessLabel is that of EndpointSlices of headless Services: only their
// endpoints have names.
const headlessLabel = "service.kubernetes.io/headless"

// Interests are what has to be followed for a source, as as: Services, and the
// EndpointSlices that kube-proxy does not follow.
func Interests(as edgev1.As) []edgev1.Interest {
	return []edgev1.Interest{
		{Version: "v1", Resource: "services", As: as},
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices", LabelSelector: headlessLabel, As: as},
	}
}

// Source makes records of what is stored.
type Source struct {
	Store  *store.Store
	As     edgev1.As
	Domain string
	// Show returns how an object is seen here.
	Show func(key store.Key, object []byte) (shown []byte, differs bool)

	records atomic.Pointer[Records]
}

// Records returns the newest; nil if Services and EndpointSlices were never
// synced.
func (s *Source) Records() *Records { return s.records.Load() }

// Run keeps the records current until ctx is done.
func (s *Source) Run(ctx context.Context) {
	what := Interests(s.As)
	for ctx.Err() == nil {
		services, slices := s.Store.Changed(store.ResourceOf(what[0])), s.Store.Changed(store.ResourceOf(what[1]))
		s.build(what)
		select {
		case <-ctx.Done():
		case <-services:
		case <-slices:
		}
		_ = backoff.Sleep(ctx, rebuildPause) // its error is that ctx is done
	}
}

func (s *Source) build(what []edgev1.Interest) {
	var objects [2][][]byte
	for i := range objects {
		all, err := s.Store.Peek(what[i])
		if err != nil {
			return
		}
		for _, o := range all {
			shown, _ := s.Show(o.Key, o.JSON)
			objects[i] = append(objects[i], shown)
		}
	}
	s.records.Store(Build(s.Domain, objects[0], objects[1]))
}
