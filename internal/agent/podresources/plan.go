package podresources

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	podresourcesapi "k8s.io/kubelet/pkg/apis/podresources/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/agent/ledger"
)

// planList returns the slots of a list, and why the list may be incomplete.
func planList(pods []*podresourcesapi.PodResources, self types.NamespacedName, kubeletAge time.Duration) (uses []ledger.Use, problem string) {
	listed := false
	for _, pod := range pods {
		listed = listed || pod.Namespace == self.Namespace && pod.Name == self.Name
		for _, container := range pod.Containers {
			for _, device := range container.Devices {
				if !ours(device.ResourceName) {
					continue
				}
				for _, id := range device.DeviceIds {
					uses = append(uses, ledger.Use{Resource: device.ResourceName, ID: id})
				}
			}
		}
	}
	switch {
	case self.Name != "" && !listed:
		return uses, "the kubelet does not list the agent's own Pod, so it may not know all Pods yet; no slot is freed"
	case self.Name == "" && len(pods) == 0 && kubeletAge < settledAge:
		return uses, "the kubelet has just started and lists no Pods; no slot is freed"
	}
	return uses, ""
}

func ours(resource string) bool { return strings.HasPrefix(resource, v0.ResourcePrefix+"/") }

// missing tells whether there is a claim that is not used.
func missing(claims []ledger.Claim, uses []ledger.Use) bool {
	used := make(map[ledger.Use]bool, len(uses))
	for _, u := range uses {
		used[u] = true
	}
	for _, c := range claims {
		if !used[c.Use()] {
			return true
		}
	}
	return false
}

// podUse is a slot in the kubelet's checkpoint, and the Pod that uses it.
type podUse struct {
	pod types.UID
	use ledger.Use
}

// writtenOnly returns the slots that are only in the checkpoint, not in uses,
// unless their Pods are known to have ended. doubtful are those of them whose
// Pods nobody knows.
func writtenOnly(written []podUse, uses []ledger.Use, active func(types.UID) (active, known bool)) (more, doubtful []ledger.Use) {
	used := make(map[ledger.Use]bool, len(uses))
	for _, u := range uses {
		used[u] = true
	}
	for _, e := range written {
		if used[e.use] {
			continue
		}
		is, known := active(e.pod)
		if known && !is {
			continue
		}
		used[e.use] = true
		more = append(more, e.use)
		if !known {
			doubtful = append(doubtful, e.use)
		}
	}
	return more, doubtful
}

// maxCheckpointBytes bounds what is read of the checkpoint. It contains the
// answers to Allocate.
const maxCheckpointBytes = 64 << 20

// readCheckpoint reads the kubelet's checkpoint, and returns when it was written.
func readCheckpoint(path string) ([]record, time.Time, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxCheckpointBytes+1))
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(raw) > maxCheckpointBytes {
		return nil, time.Time{}, fmt.Errorf("%s has more than %d bytes", path, maxCheckpointBytes)
	}
	records, err := parseCheckpoint(raw)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: %w", path, err)
	}
	return records, info.ModTime(), nil
}

// record is what one container has of one resource, as in
// cm/devicemanager/checkpoint/checkpoint.go.
type record struct {
	PodUID       types.UID
	ResourceName string
	DeviceIDs    deviceIDs
	// AllocResp is the answer to Allocate: base64 of its protobuf form.
	AllocResp json.RawMessage
}

// parseCheckpoint reads the records of our resources.
func parseCheckpoint(raw []byte) ([]record, error) {
	var content struct {
		Data *struct{ PodDeviceEntries []record }
	}
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, err
	}
	if content.Data == nil {
		return nil, fmt.Errorf("it has no Data")
	}
	return slices.DeleteFunc(content.Data.PodDeviceEntries, func(r record) bool { return !ours(r.ResourceName) }), nil
}

// podUses returns the slots of records.
func podUses(records []record) []podUse {
	var uses []podUse
	for _, r := range records {
		for _, id := range r.DeviceIDs {
			uses = append(uses, podUse{r.PodUID, ledger.Use{Resource: r.ResourceName, ID: id}})
		}
	}
	return uses
}

// deviceIDs are written as a list per NUMA node; kubelets before 1.20 wrote one
// list.
type deviceIDs []string

func (d *deviceIDs) UnmarshalJSON(raw []byte) error {
	var perNode map[string][]string
	if err := json.Unmarshal(raw, &perNode); err != nil {
		return json.Unmarshal(raw, (*[]string)(d))
	}
	for _, ids := range perNode {
		*d = append(*d, ids...)
	}
	return nil
}
