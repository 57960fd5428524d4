package discovery

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
)

// Discover answers one request of the agent.
func (s *service) Discover(m *pb.DiscoverRequest, stream grpc.ServerStreamingServer[pb.DiscoverResponse]) error {
	ctx := stream.Context()
	s.log.Info("request from the agent")
	err := watch(ctx, s.handler, request(m), func(r Report) error {
		return stream.Send(response(r))
	})
	if ctx.Err() != nil {
		// The agent dropped the request, or is gone: a new agent does not know
		// this handler.
		s.registerAgain()
		return status.FromContextError(ctx.Err()).Err()
	}
	s.log.Warn("request is no longer answered", "error", err)
	return statusOf(err)
}

func statusOf(err error) error {
	if IsInvalid(err) {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, err.Error())
}

func request(m *pb.DiscoverRequest) Request {
	req := Request{Details: m.GetDiscoveryDetails()}
	if n := len(m.GetDiscoveryProperties()); n > 0 {
		req.Properties = make(map[string][]byte, n)
	}
	for name, value := range m.GetDiscoveryProperties() {
		req.Properties[name] = value.GetVec()
	}
	return req
}

func response(r Report) *pb.DiscoverResponse {
	// gRPC refuses to send what is not UTF-8.
	m := &pb.DiscoverResponse{Devices: make([]*pb.Device, len(r.Devices)), Note: strings.ToValidUTF8(r.Note, "\uFFFD")}
	for _, id := range r.Departed {
		m.Departed = append(m.Departed, strings.ToValidUTF8(id, "\uFFFD"))
	}
	for i, d := range r.Devices {
		m.Devices[i] = &pb.Device{Id: d.ID, Properties: d.Properties}
		for _, mount := range d.Mounts {
			m.Devices[i].Mounts = append(m.Devices[i].Mounts, &pb.Mount{
				ContainerPath: mount.ContainerPath,
				HostPath:      mount.HostPath,
				ReadOnly:      mount.ReadOnly,
			})
		}
		for _, spec := range d.DeviceSpecs {
			m.Devices[i].DeviceSpecs = append(m.Devices[i].DeviceSpecs, &pb.DeviceSpec{
				ContainerPath: spec.ContainerPath,
				HostPath:      spec.HostPath,
				Permissions:   spec.Permissions,
			})
		}
	}
	return m
}
