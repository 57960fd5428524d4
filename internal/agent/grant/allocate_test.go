package grant

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/akri-go/akri/discovery"
)

// The kubelet is told this and no more: no CDI names, no annotations.
func TestAllocateResponse(t *testing.T) {
	g := Grant{
		Env:         map[string]string{"URL": "a", "URL_00000A": "a"},
		Mounts:      []discovery.Mount{{ContainerPath: "/m", HostPath: "/h", ReadOnly: true}},
		DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: "/dev/x", HostPath: "/dev/y", Permissions: "rw"}},
	}
	want := &pluginapi.ContainerAllocateResponse{
		Envs:    map[string]string{"URL": "a", "URL_00000A": "a"},
		Mounts:  []*pluginapi.Mount{{ContainerPath: "/m", HostPath: "/h", ReadOnly: true}},
		Devices: []*pluginapi.DeviceSpec{{ContainerPath: "/dev/x", HostPath: "/dev/y", Permissions: "rw"}},
	}
	got := g.AllocateResponse()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	// Upstream's agents give more, of which nothing is compared.
	got.Annotations = map[string]string{"a": "b"}
	if diff := cmp.Diff(g, FromAllocateResponse(got)); diff != "" {
		t.Errorf("grant (-want +got):\n%s", diff)
	}
}
