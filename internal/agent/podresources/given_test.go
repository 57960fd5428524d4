package podresources

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/grant"
)

func TestGiven(t *testing.T) {
	response := &pluginapi.ContainerAllocateResponse{
		Envs:    map[string]string{"URL": "a"},
		Devices: []*pluginapi.DeviceSpec{{ContainerPath: "/dev/x", HostPath: "/dev/y", Permissions: "rw"}},
	}
	raw, err := proto.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(pod, resource, answer string) string {
		return fmt.Sprintf(`{"PodUID":%q,"ContainerName":"c","ResourceName":%q,"DeviceIDs":{"-1":["cam-0000a1-0"]},"AllocResp":%s}`, pod, resource, answer)
	}
	good := fmt.Sprintf("%q", base64.StdEncoding.EncodeToString(raw))
	path := filepath.Join(t.TempDir(), "checkpoint")
	w := &Watcher{Options: Options{Checkpoint: path}}
	if got, err := w.Given(); err != nil || got != nil {
		t.Errorf("without a file: %v, %v", got, err)
	}
	content := `{"Data":{"PodDeviceEntries":[` + entry("u1", "akri.sh/cam", good) + "," + entry("u2", "example.com/gpu", good) + "," +
		entry("u3", "akri.sh/cam", "null") + "," + entry("u4", "akri.sh/cam", `"%%"`) + "," + entry("u5", "akri.sh/cam", `"/w=="`) + "," +
		entry("u6", "akri.sh/cam", "7") + `]}}`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := w.Given()
	if err != nil {
		t.Fatal(err)
	}
	want := []Given{{Pod: "u1", Resource: "akri.sh/cam", Slots: []string{"cam-0000a1-0"}, Grant: grant.Grant{
		Env:         map[string]string{"URL": "a"},
		DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: "/dev/x", HostPath: "/dev/y", Permissions: "rw"}},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("given (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Given(); err == nil {
		t.Errorf("a broken file was read: %v", got)
	}
}
