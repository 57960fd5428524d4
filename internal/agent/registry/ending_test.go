package registry

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
)

// A handler whose stream is dropped because the agent ends registers again at
// once. If the agent took that, the handler would never come to the next agent.
func TestEndingAgentTakesNoRegistration(t *testing.T) {
	r, err := New(Options{Dir: "/nowhere", Observer: &recorder{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	defer r.stop()
	m := &pb.RegisterDiscoveryHandlerRequest{Name: "h", Endpoint: "/nowhere/h.sock", EndpointType: pb.RegisterDiscoveryHandlerRequest_UDS}
	_, err = (&registrar{registry: r}).RegisterDiscoveryHandler(t.Context(), m)
	if status.Code(err) != codes.Unavailable || len(r.Endpoints()) > 0 {
		t.Errorf("%v, endpoints %v; want Unavailable and none", err, r.Endpoints())
	}
}
