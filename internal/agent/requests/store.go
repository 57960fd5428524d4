package requests

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
)

// StateVersion is that of [State], for its checkpoint.
const StateVersion = 1

// State is what an Asker keeps on disk: the requests, so that an agent that
// starts without an API server makes them again. Requests with properties from
// a Secret are not in it.
type State struct {
	Requests []StoredRequest `json:"questions"`
}

// StoredRequest is one request, with the Configuration that its answers belong
// to.
type StoredRequest struct {
	Configuration      types.NamespacedName `json:"configuration"`
	Owner              types.UID            `json:"owner"`
	Generation         int64                `json:"generation"`
	Handler            string               `json:"handler"`
	Details            string               `json:"details,omitempty"`
	Properties         map[string][]byte    `json:"properties,omitempty"`
	Capacity           int                  `json:"capacity"`
	BrokerProperties   map[string]string    `json:"brokerProperties,omitempty"`
	OfflineGracePeriod *metav1.Duration     `json:"offlineGracePeriod,omitempty"`
}

// Restore makes the requests of the store, before the Configurations are known.
// It is called before Run, if at all.
func (a *Asker) Restore() {
	state, found := checkpoint.Restore(a.opts.Store, a.opts.Logger, "starting without the saved requests; handlers are asked once the API server answers")
	if !found {
		return
	}
	a.restored.Store(true)
	for _, s := range state.Requests {
		req := registry.Request{
			Configuration: s.Configuration,
			UID:           s.Owner,
			Handler:       s.Handler,
			Request:       discovery.Request{Details: s.Details, Properties: s.Properties},
		}
		a.put(&active{request: req, id: req.ID(), configuration: inventory.Configuration{
			Name:               s.Configuration,
			Owner:              s.Owner,
			Generation:         s.Generation,
			Handler:            s.Handler,
			RequestID:          req.ID(),
			Capacity:           max(1, s.Capacity),
			BrokerProperties:   s.BrokerProperties,
			OfflineGracePeriod: s.OfflineGracePeriod,
		}}, true)
	}
	a.dirty = false
}

// save writes the store if it is out of date. It returns false if that failed.
func (a *Asker) save() bool {
	if !a.dirty || a.opts.Store == nil {
		return true
	}
	err := a.opts.Store.Save(a.state())
	a.unwritable.Is(a.opts.Logger, err)
	if err != nil {
		return false
	}
	a.dirty = false
	return true
}

func (a *Asker) state() State {
	state := State{Requests: []StoredRequest{}}
	for _, name := range slices.SortedFunc(maps.Keys(a.active), compareNames) {
		act := a.active[name]
		if act.id == "" || act.confidential {
			continue
		}
		state.Requests = append(state.Requests, StoredRequest{
			Configuration:      name,
			Owner:              act.configuration.Owner,
			Generation:         act.configuration.Generation,
			Handler:            act.request.Handler,
			Details:            act.request.Request.Details,
			Properties:         act.request.Request.Properties,
			Capacity:           act.configuration.Capacity,
			BrokerProperties:   act.configuration.BrokerProperties,
			OfflineGracePeriod: act.configuration.OfflineGracePeriod,
		})
	}
	return state
}

func compareNames(a, b types.NamespacedName) int {
	return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
}
