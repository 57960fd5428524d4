// Package podresources finds out from the kubelet which slots containers use.
//
// The kubelet tells that in two ways, and each can be wrong (files are those of
// pkg/kubelet in Kubernetes v1.37):
//
//   - The PodResources API lists the devices of active Pods. It leaves out
//     ordinary init containers (apis/podresources/server_v1.go, List). After a
//     restart of the kubelet it lists nothing, without an error, until the
//     kubelet has the Pods from the API server. So a list only counts as
//     complete if the agent's own Pod is in it, if it runs in one.
//   - The device manager's checkpoint also has init containers. The kubelet
//     writes it when it allocates and when a plugin sends a list
//     (cm/devicemanager/manager.go, writeCheckpoint), but not when a Pod ends.
//     So it may have Pods that are gone. It is read when a claim is not in the
//     list. A slot that is only in the checkpoint counts as used, unless the
//     API server says that the Pod has ended. If nobody can say that, the
//     kubelet is nudged to write the checkpoint again: when it answers List, it
//     drops Pods that have ended (UpdateAllocatedDevices).
//
// The result is a [ledger.View].
//
// The checkpoint also has the answers to Allocate, with which the kubelet starts
// containers again: see [Watcher.Given].
package podresources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apimachinery/pkg/types"
	podresourcesapi "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/akri-go/akri/internal/agent/ledger"
)

const (
	// LookInterval is the time between two looks, unless [Options] say otherwise.
	LookInterval = 10 * time.Second
	// lookDelay is the time from a change to the next look: changes come in
	// groups.
	lookDelay = time.Second
	// listTimeout bounds a List.
	listTimeout = 5 * time.Second
	// maxListBytes bounds the list, in bytes, as the kubelet's own client does.
	maxListBytes = 16 << 20
	// settledAge is the age from which a kubelet without Pods is believed.
	settledAge = 2 * time.Minute
	// staleAge is the age at which the kubelet is nudged to write its
	// checkpoint again, while a slot is only in the checkpoint. When a slot
	// leaves the list, the kubelet is nudged at once.
	staleAge = time.Minute

	defaultSocket     = "/var/lib/kubelet/pod-resources/kubelet.sock"
	defaultCheckpoint = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
)

// Ledger is told what is used. [ledger.Ledger] is one.
type Ledger interface {
	Claims() []ledger.Claim
	Reconcile(now time.Time, view ledger.View) (next time.Duration)
}

// Options are what a Watcher needs.
type Options struct {
	// Socket is the kubelet's PodResources socket; "" is
	// /var/lib/kubelet/pod-resources/kubelet.sock.
	Socket string
	// Checkpoint is the device manager's file; "" is
	// /var/lib/kubelet/device-plugins/kubelet_internal_checkpoint.
	Checkpoint string
	// Self is the agent's own Pod, if it runs in one.
	Self types.NamespacedName

	Ledger Ledger
	Logger *slog.Logger
	// Interval is the time between two looks; 0 means [LookInterval].
	Interval time.Duration

	// ActivePods, if not nil, asks the API server for the Pods of this node
	// that have not ended: their phase is neither Succeeded nor Failed.
	ActivePods func(ctx context.Context) (map[types.UID]types.NamespacedName, error)
	// Nudge, if not nil, makes the kubelet write its checkpoint file; see
	// package deviceplugin.
	Nudge func()
}

// Watcher looks at the kubelet and tells the ledger.
type Watcher struct {
	Options
	client podresourcesapi.PodResourcesListerClient
	close  func() error
	kick   chan struct{}
	// problem is what was logged last, so that it is logged once.
	problem string
	// doubtful are the slots that were only in the checkpoint last time, and
	// whose Pods nobody knew.
	doubtful []ledger.Use
}

// New returns a Watcher.
func New(o Options) (*Watcher, error) {
	if o.Socket == "" {
		o.Socket = defaultSocket
	}
	if o.Checkpoint == "" {
		o.Checkpoint = defaultCheckpoint
	}
	if o.Interval == 0 {
		o.Interval = LookInterval
	}
	conn, err := grpc.NewClient("unix://"+o.Socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxListBytes)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 2, Jitter: 0.2, MaxDelay: o.Interval / 2},
			MinConnectTimeout: listTimeout,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("kubelet's PodResources at %s: %w", o.Socket, err)
	}
	return &Watcher{
		Options: o,
		client:  podresourcesapi.NewPodResourcesListerClient(conn),
		close:   conn.Close,
		kick:    make(chan struct{}, 1),
	}, nil
}

// Kick asks for a look soon. It may be called at any time.
func (w *Watcher) Kick() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Run looks at once and then every [Options.Interval], sooner after
// [Watcher.Kick] or if a slot can be freed sooner, until ctx is done. Call it once.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.close()
	for ctx.Err() == nil {
		wait := w.look(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.kick:
			if lookDelay < wait {
				timer.Reset(lookDelay)
			}
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		timer.Stop()
	}
	return nil
}

// look asks the kubelet once, and returns how long to wait before the next look.
func (w *Watcher) look(ctx context.Context) time.Duration {
	// Do not change this text: upstream's tests look for it.
	w.Logger.Debug("reclaiming unused slots - start")
	callCtx, cancel := context.WithTimeout(ctx, listTimeout)
	list, err := w.client.List(callCtx, &podresourcesapi.ListPodResourcesRequest{})
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			w.complain(fmt.Sprintf("the kubelet does not list what its containers use; no slot is freed: %v", err))
		}
		return w.Interval
	}
	view, problem := w.view(ctx, list)
	w.complain(problem)
	next := w.Ledger.Reconcile(time.Now(), view)
	if next > 0 && next < w.Interval {
		return next
	}
	return w.Interval
}

// complain logs a problem when it begins and when it ends.
func (w *Watcher) complain(problem string) {
	switch {
	case problem == w.problem:
	case problem != "":
		w.Logger.Warn(problem)
	default:
		w.Logger.Info("the kubelet again lists what its containers use")
	}
	w.problem = problem
}

// view makes a view of the kubelet's list. If it is not complete, problem says
// why.
func (w *Watcher) view(ctx context.Context, list *podresourcesapi.ListPodResourcesResponse) (view ledger.View, problem string) {
	view.Uses, problem = planList(list.PodResources, w.Self, w.kubeletAge())
	view.Complete = problem == ""
	if !missing(w.Ledger.Claims(), view.Uses) {
		w.doubtful = nil
		return view, problem
	}
	records, written, err := readCheckpoint(w.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return view, problem // the kubelet has allocated nothing
	}
	if err != nil {
		view.Complete = false
		return view, fmt.Sprintf("the kubelet's record of init containers cannot be read; no slot is freed: %v", err)
	}
	more, doubtful := writtenOnly(podUses(records), view.Uses, w.asker(ctx))
	view.Uses = append(view.Uses, more...)
	news := slices.ContainsFunc(doubtful, func(u ledger.Use) bool { return !slices.Contains(w.doubtful, u) })
	if w.doubtful = doubtful; w.Nudge != nil && (news || len(doubtful) > 0 && time.Since(written) > staleAge) {
		w.Nudge()
	}
	return view, problem
}

// kubeletAge returns how long the kubelet has been running: when it starts, it
// makes a new socket.
func (w *Watcher) kubeletAge() time.Duration {
	info, err := os.Stat(w.Socket)
	if err != nil {
		return 0
	}
	return time.Since(info.ModTime())
}

// asker returns a function that tells what the API server knows of a Pod. It
// asks for all Pods once, when it is first called.
func (w *Watcher) asker(ctx context.Context) func(uid types.UID) (active, known bool) {
	ask := sync.OnceValues(func() (map[types.UID]types.NamespacedName, error) {
		if w.ActivePods == nil {
			return nil, errors.ErrUnsupported
		}
		ctx, cancel := context.WithTimeout(ctx, listTimeout)
		defer cancel()
		return w.ActivePods(ctx)
	})
	return func(uid types.UID) (active, known bool) {
		pods, err := ask()
		_, active = pods[uid]
		return active, err == nil
	}
}
