package edge

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
	"github.com/akri-go/akri/internal/edge/edgehub/sync"
	"github.com/akri-go/akri/internal/edge/metamanager/api"
	"github.com/akri-go/akri/internal/edge/metamanager/outbox"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/status"
	"github.com/akri-go/akri/internal/version"
)

// reporter gathers what edgecore status shows.
type reporter struct {
	node           string
	store          *store.Store
	hub            *sync.Sync
	api            *api.Server
	outbox         *outbox.Outbox
	link           *link.Status
	runs           config.Edged // kubelet and proxy, or not
	kubelet, proxy *edged.Program
	forPods        status.ForPods
	began          time.Time
}

func (r *reporter) report() status.Report {
	of := r.state()
	l, s, st, out := of.link, of.sync, of.store, of.outbox
	report := status.Report{
		Version: version.String(), Node: r.node, Started: r.began, ForPods: r.forPods,
		Link: status.Link{
			Connected: s.Connected, Since: s.Since, LastContact: l.LastContact, LastError: l.LastError, NextTry: l.NextTry,
			Sessions: l.Sessions, Received: l.Received, Sent: l.Sent, Syncing: s.Syncing,
		},
		Outbox:  status.Outbox{Events: out.Events, Others: out.Others, Oldest: out.Oldest, Dropped: out.Dropped, Refused: out.Refused},
		Store:   status.Store{Objects: st.Objects, Bytes: st.Bytes, Interests: st.Interests, Watches: st.Watches, Overlaid: st.Overlaid},
		Kubelet: programOf(r.runs.Enable, r.kubelet), KubeProxy: programOf(r.runs.KubeProxy.Enable, r.proxy),
	}
	if of.fault != nil {
		report.Store.Fault = of.fault.Error()
	}
	pods, err := r.store.Peek(edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=" + r.node})
	report.PodsUnknown = err != nil
	machine, _ := booted(os.DirFS("/proc")) // else what is stored is believed
	for _, o := range pods {
		report.Pods = append(report.Pods, podOf(o, machine))
	}
	return report
}

func programOf(managed bool, p *edged.Program) status.Program {
	s := p.State()
	return status.Program{Managed: managed, PID: s.PID, Since: s.Since, Restarts: s.Restarts, LastExit: s.LastExit}
}

// bootedWithin is how exactly it is known when the machine and a container started.
const bootedWithin = 2 * time.Second

// podOf is a Pod in few words. A container that started before the machine did does
// not run, whatever is stored: the kubelet has not said more yet.
func podOf(o *store.Object, machine time.Time) status.Pod {
	var p struct {
		Status struct {
			Phase             string `json:"phase"`
			ContainerStatuses []struct {
				Ready        bool `json:"ready"`
				RestartCount int  `json:"restartCount"`
				State        struct {
					Running struct {
						StartedAt time.Time `json:"startedAt"`
					} `json:"running"`
				} `json:"state"`
			} `json:"containerStatuses"`
		} `json:"status"`
	}
	_ = json.Unmarshal(o.JSON, &p) // of another shape it says less
	ready, restarts := 0, 0
	for _, c := range p.Status.ContainerStatuses {
		if c.Ready && c.State.Running.StartedAt.After(machine.Add(-bootedWithin)) {
			ready++
		}
		restarts += c.RestartCount
	}
	return status.Pod{
		Namespace: o.Namespace, Name: o.Name, Phase: p.Status.Phase, Restarts: restarts,
		Ready: fmt.Sprintf("%d/%d", ready, len(p.Status.ContainerStatuses)),
	}
}
