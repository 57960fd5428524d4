package podresources

import (
	"encoding/json"
	"errors"
	"io/fs"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/akri-go/akri/internal/agent/grant"
)

// Given is what one container got of one resource.
type Given struct {
	Pod      types.UID
	Resource string // akri.sh/…
	// Slots are device ids, as the kubelet knows them.
	Slots []string
	// Grant is the answer to the Allocate of these slots.
	Grant grant.Grant
}

// Given returns what containers got, from the kubelet's checkpoint; it may
// still have Pods that are gone. They may have got it from an earlier version
// of this agent, or from upstream's. What cannot be read is left out.
func (w *Watcher) Given() ([]Given, error) {
	records, _, err := readCheckpoint(w.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the kubelet has allocated nothing
	}
	if err != nil {
		return nil, err
	}
	var all []Given
	for _, r := range records {
		var raw []byte
		response := &pluginapi.ContainerAllocateResponse{}
		if json.Unmarshal(r.AllocResp, &raw) != nil || len(raw) == 0 || proto.Unmarshal(raw, response) != nil {
			continue
		}
		all = append(all, Given{Pod: r.PodUID, Resource: r.ResourceName, Slots: r.DeviceIDs, Grant: grant.FromAllocateResponse(response)})
	}
	return all, nil
}
