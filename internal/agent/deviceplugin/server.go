package deviceplugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/grant"
	"github.com/akri-go/akri/internal/agent/ledger"
	"github.com/akri-go/akri/internal/quietgrpc"
)

// server serves all endpoints.
type server struct {
	pluginapi.UnimplementedDevicePluginServer
	plugin *Plugin
	grpc   *quietgrpc.Server
}

func (p *Plugin) newServer() *server {
	s := &server{plugin: p, grpc: quietgrpc.New()}
	pluginapi.RegisterDevicePluginServer(s.grpc, s)
	s.grpc.RegisterWatch(listAndWatch, s.startWatch)
	return s
}

// stop ends all calls and closes all sockets.
func (s *server) stop() {
	s.grpc.Stop()
	p := s.plugin
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangUp()
	for _, e := range p.endpoints {
		p.closeEndpoint(e)
	}
}

// serve accepts the kubelet at an endpoint until its listener is closed.
func (s *server) serve(listener net.Listener) { _ = s.grpc.Serve(listener) }

// endpoint returns the endpoint at which a call has arrived.
func (s *server) endpoint(ctx context.Context) (*endpoint, error) {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Internal, "akri-agent: the call has no local address")
	}
	return s.endpointAt(caller.LocalAddr)
}

func (s *server) endpointAt(address net.Addr) (*endpoint, error) {
	s.plugin.mu.Lock()
	defer s.plugin.mu.Unlock()
	e := s.plugin.endpoints[address.String()]
	if e == nil {
		return nil, status.Error(codes.NotFound, "akri-agent no longer offers this resource: its devices have left the node")
	}
	return e, nil
}

// GetDevicePluginOptions is called by the kubelet during a registration.
func (s *server) GetDevicePluginOptions(context.Context, *pluginapi.Empty) (*pluginapi.DevicePluginOptions, error) {
	return &pluginapi.DevicePluginOptions{GetPreferredAllocationAvailable: true}, nil
}

// shares returns the slots of a resource's Instances, sorted by Instance.
func (p *Plugin) shares(r *resource) []share {
	p.mu.Lock()
	shares := make([]share, 0, len(r.members))
	names := make([]types.NamespacedName, 0, len(r.members))
	for _, name := range slices.SortedFunc(maps.Keys(r.members), byName) {
		d := p.devices[name]
		names = append(names, name)
		shares = append(shares, share{
			instance: name.Name, usable: d.Usable,
			start: startOf(p.node, d.Shared, d.Capacity),
		})
	}
	p.mu.Unlock()
	for i := range shares {
		shares[i].slots = p.ledger.Slots(names[i])
	}
	return shares
}

func byName(a, b types.NamespacedName) int { return cmp.Compare(a.Name, b.Name) }

// GetPreferredAllocation chooses among free slots.
func (s *server) GetPreferredAllocation(ctx context.Context, req *pluginapi.PreferredAllocationRequest) (*pluginapi.PreferredAllocationResponse, error) {
	e, err := s.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	shares := make(map[string]share)
	for _, share := range s.plugin.shares(e.resource) {
		shares[share.instance] = share
	}
	response := &pluginapi.PreferredAllocationResponse{}
	for _, c := range req.ContainerRequests {
		chosen := prefer(c.AvailableDeviceIDs, c.MustIncludeDeviceIDs, int(c.AllocationSize), e.resource.door == v0.DoorConfiguration, shares)
		response.ContainerResponses = append(response.ContainerResponses, &pluginapi.ContainerPreferredAllocationResponse{DeviceIDs: chosen})
	}
	return response, nil
}

// Allocate claims slots and returns what containers get, one answer per
// container. All slots are claimed or none. Error texts appear in the status of
// the Pod.
func (s *server) Allocate(ctx context.Context, req *pluginapi.AllocateRequest) (*pluginapi.AllocateResponse, error) {
	e, err := s.endpoint(ctx)
	if err != nil {
		return nil, err
	}
	response, told, err := s.plugin.allocate(ctx, e.resource, req)
	told.Resource, told.Err = e.resource.name, err
	s.plugin.allocated(told)
	if err != nil {
		s.plugin.log.Warn("container refused", "resource", e.resource.name, "slots", told.Slots, "error", err)
		code := codes.FailedPrecondition
		if errors.Is(err, ledger.ErrTaken) {
			code = codes.ResourceExhausted
		}
		return nil, status.Error(code, err.Error())
	}
	return response, nil
}

func (p *Plugin) allocate(ctx context.Context, r *resource, req *pluginapi.AllocateRequest) (*pluginapi.AllocateResponse, Allocation, error) {
	var told Allocation
	response := &pluginapi.AllocateResponse{}
	for _, c := range req.ContainerRequests {
		told.Slots = append(told.Slots, c.DevicesIds...)
	}
	for _, c := range req.ContainerRequests {
		slots, err := p.resolve(r, c.DevicesIds)
		if err != nil {
			return nil, told, err
		}
		for _, s := range slots {
			told.Instances = append(told.Instances, s.Device.Instance)
		}
		if r.door == v0.DoorConfiguration {
			if err := distinctInstances(slots); err != nil {
				return nil, told, err
			}
		}
		// Checked again: since the report, a link may lead elsewhere.
		for i, s := range slots {
			if slots[i].Device.Reported, err = p.paths.Resolve(s.Device.Reported); err != nil {
				return nil, told, fmt.Errorf("allocate slot %s: %w", s.ID, err)
			}
		}
		granted, err := grant.Of(slots)
		if err != nil {
			return nil, told, err
		}
		response.ContainerResponses = append(response.ContainerResponses, granted.AllocateResponse())
	}
	// Last, so that a request that fails leaves no claim.
	if err := p.ledger.Claim(ctx, r.door, told.Slots); err != nil {
		return nil, told, err
	}
	p.log.Info("container allocated", "resource", r.name, "slots", strings.Join(told.Slots, ","))
	return response, told, nil
}

// resolve returns the devices behind slot ids, as this node sees them now.
func (p *Plugin) resolve(r *resource, ids []string) ([]grant.Slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slots := make([]grant.Slot, 0, len(ids))
	for _, id := range ids {
		instance, index, err := v0.ParseSlotID(id)
		if err != nil {
			return nil, fmt.Errorf("allocate: %w", err)
		}
		name := types.NamespacedName{Namespace: r.namespace, Name: instance}
		if !r.members[name] {
			return nil, fmt.Errorf("allocate slot %s: node %s has no such device now", id, p.node)
		}
		d := p.devices[name]
		if !d.Usable {
			why := "its handler has not reported it since this node or its agent started"
			if d.State == v0.DeviceOffline {
				why = d.Reason
			}
			return nil, fmt.Errorf("allocate slot %s: the device is offline on node %s (%s)", id, p.node, why)
		}
		slots = append(slots, grant.Slot{ID: id, Index: index, Device: d})
	}
	return slots, nil
}

// distinctInstances returns an error if two slots are of one Instance.
func distinctInstances(slots []grant.Slot) error {
	seen := make(map[string]string, len(slots))
	for _, s := range slots {
		name := s.Device.Instance.Name
		if other, ok := seen[name]; ok {
			return fmt.Errorf("slots %s and %s are of one device, but a container that asks for several units of %s gets as many devices; "+
				"fewer are free on this node", other, s.ID, v0.ResourceName(s.Device.Configuration))
		}
		seen[name] = s.ID
	}
	return nil
}
