package deviceplugin

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/quietgrpc"
)

const (
	// minListInterval is the shortest time between two lists of a resource: the
	// kubelet writes its checkpoint after each.
	minListInterval = 100 * time.Millisecond

	// senders is how many lists are sent at a time.
	senders = 4
)

// watcher is the kubelet's ListAndWatch call at an endpoint.
type watcher struct {
	// mu is held while a list is sent, and locked before the plugin's mu. call is
	// nil before and after the kubelet's call.
	mu   sync.Mutex
	call *quietgrpc.Watch

	// last is the digest of the list that was sent last, and sent is when.
	last [sha256.Size]byte
	sent time.Time
}

// listAndWatch is the full name of the method.
const listAndWatch = "/v1beta1.DevicePlugin/ListAndWatch"

// startWatch sends the list of a resource, now and when it changes.
func (s *server) startWatch(call *quietgrpc.Watch) error {
	e, err := s.endpointAt(call.LocalAddr)
	if err != nil {
		return err
	}
	p := s.plugin
	e.watcher.mu.Lock()
	defer e.watcher.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.state != waiting {
		return status.Error(codes.FailedPrecondition, "akri-agent: ListAndWatch is called once per registration")
	}
	e.state = streaming
	e.watcher.call = call
	call.OnEnd = func() { p.watchEnds(e) }
	context.AfterFunc(e.ctx, func() { call.Close(nil) })
	close(e.started)
	// Nobody else may connect. The kubelet stays connected.
	e.listener.Close()
	p.lists.Add(e)
	return nil
}

// watchEnds notes that the kubelet has forgotten an endpoint.
func (p *Plugin) watchEnds(e *endpoint) {
	e.watcher.mu.Lock()
	e.watcher.call = nil
	e.watcher.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	e.state = ended
	if e.resource.current == e {
		p.retry(e)
	}
}

// sendQueued sends lists of endpoints of the queue until it is shut down.
func (p *Plugin) sendQueued() {
	for {
		e, shutdown := p.lists.Get()
		if shutdown {
			return
		}
		if err := p.send(e); err != nil {
			p.log.Warn("cannot send a list to the kubelet", "resource", e.resource.name, "error", err)
			e.cancel() // ends the call; then it is registered again
		}
		p.lists.Done(e)
	}
}

// send sends an endpoint's list if the kubelet does not have it.
func (p *Plugin) send(e *endpoint) error {
	w := &e.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call == nil {
		return nil
	}
	wait := minListInterval - time.Since(w.sent)
	if w.call.Busy() {
		wait = minListInterval // the kubelet is slow; it gets the latest
	}
	if wait > 0 {
		p.lists.AddAfter(e, wait)
		return nil
	}
	list, again := p.list(e)
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(list)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	if sum == w.last && !again {
		return nil
	}
	if err := w.call.Send(list); err != nil {
		if w.call.Context().Err() != nil {
			return nil // the kubelet has gone
		}
		return err
	}
	w.last, w.sent = sum, time.Now()
	return nil
}

// list returns what an endpoint's resource offers now, and whether it is to be
// sent even if the kubelet has it.
func (p *Plugin) list(e *endpoint) (list *pluginapi.ListAndWatchResponse, again bool) {
	p.mu.Lock()
	again, e.again = e.again, false
	p.mu.Unlock()
	shares := p.shares(e.resource)
	if e.resource.door == v0.DoorConfiguration {
		return &pluginapi.ListAndWatchResponse{Devices: offerConfiguration(shares)}, again
	}
	list = &pluginapi.ListAndWatchResponse{}
	for _, s := range shares {
		list.Devices = append(list.Devices, offerInstance(s)...)
	}
	return list, again
}
