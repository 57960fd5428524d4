package camera

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/akri-go/akri/samples/camera/camerapb"
)

// service is camera.Camera.
type service struct {
	camerapb.UnimplementedCameraServer

	latest  *Latest
	metrics *Metrics
	camera  string
}

// GetFrame returns the newest picture. Without one it waits a little, and then
// returns an empty frame, as upstream's broker for network cameras does.
func (s *service) GetFrame(ctx context.Context, _ *camerapb.NotifyRequest) (*camerapb.NotifyResponse, error) {
	f, ok := first(ctx, s.latest)
	if ok {
		s.metrics.served.Inc()
	}
	return s.message(f), nil
}

// StreamFrames streams pictures until the client is gone.
func (s *service) StreamFrames(_ *camerapb.NotifyRequest, to grpc.ServerStreamingServer[camerapb.NotifyResponse]) error {
	var last uint64
	if f, ok := s.latest.Last(); !ok {
		if err := to.Send(s.message(f)); err != nil {
			return err
		}
		last = f.Number
	}
	for {
		f, err := s.latest.Next(to.Context(), last)
		if err != nil {
			return status.Error(codes.Unavailable, "the broker ends") // or the client is gone
		}
		last = f.Number
		if err := to.Send(s.message(f)); err != nil {
			return err
		}
		if f.JPEG != nil {
			s.metrics.served.Inc()
		}
	}
}

func (s *service) message(f Frame) *camerapb.NotifyResponse {
	m := &camerapb.NotifyResponse{Frame: f.JPEG, Camera: s.camera, Number: f.Number}
	if f.JPEG != nil {
		m.TakenUs = f.Taken.UnixMicro()
	}
	return m
}
