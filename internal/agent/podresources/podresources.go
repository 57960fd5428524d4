// Package podresources learns from the kubelet which slots containers use.
//
// There are two sources, and each alone is wrong at times (files are those of
// pkg/kubelet in Kubernetes v1.37):
//
//   - The PodResources API lists the devices of active Pods. It leaves ordinary
//     init containers out (apis/podresources/server_v1.go, List), and after a
//     restart of the kubelet it lists nothing, without an error, until the Pods
//     have come from the API server. So a list is complete only if it is
//     plausible: with the agent's own Pod in it, if it runs in one.
//   - The device manager's checkpoint file has init containers too. It is written
//     when something is allocated and when a plugin sends a list
//     (cm/devicemanager/manager.go, writeCheckpoint), not when a Pod ends, so it
//     may name Pods that are gone. It is read when a claim is not in the list. A
//     slot that only it names counts as used, unless the API server says that the
//     Pod has ended. If nobody can say, the kubelet is nudged to write it again;
//     answering List it has just dropped Pods that ended (UpdateAllocatedDevices).
//
// What comes out is a [ledger.View].
//
// The file also holds the answers that containers got to Allocate, which is what
// they are started with again, in place: see [Watcher.Given].
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
	// DefaultInterval is upstream's.
	DefaultInterval = 10 * time.Second
	// soon is how long after a change another look is taken: changes come in
	// groups.
	soon = time.Second
	// listTimeout bounds a List.
	listTimeout = 5 * time.Second
	// maxList bounds the list, in bytes, as the kubelet's own client does.
	maxList = 16 << 20
	// settled is the age at which a kubelet without Pods is believed.
	settled = 2 * time.Minute
	// stale is the age at which the checkpoint file is asked to be written again
	// while it is the only one to name a slot. It is asked at once when a slot
	// leaves the list.
	stale = time.Minute

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
	// Interval is the time between two looks; 0 means [DefaultInterval].
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
	// trouble is what was logged last, so that it is logged once.
	trouble string
	// doubtful are the slots that only the checkpoint file named last time, of
	// Pods of which nobody knew.
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
		o.Interval = DefaultInterval
	}
	conn, err := grpc.NewClient("unix://"+o.Socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxList)),
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

// Kick has a look taken soon. It may be called at any time.
func (w *Watcher) Kick() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Run looks at once and then every [Options.Interval], sooner after [Watcher.Kick] or if
// a slot can be freed sooner, until ctx is done. Call it once.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.close()
	for ctx.Err() == nil {
		wait := w.look(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.kick:
			if soon < wait {
				timer.Reset(soon)
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

// look asks the kubelet once, and returns when to look again.
func (w *Watcher) look(ctx context.Context) time.Duration {
	// This text is part of the interface: upstream's tests look for it, in images
	// with a shell, which log so much.
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
	view, trouble := w.view(ctx, list)
	w.complain(trouble)
	next := w.Ledger.Reconcile(time.Now(), view)
	if next > 0 && next < w.Interval {
		return next
	}
	return w.Interval
}

// complain logs a trouble when it begins, and when it ends.
func (w *Watcher) complain(trouble string) {
	switch {
	case trouble == w.trouble:
	case trouble != "":
		w.Logger.Warn(trouble)
	default:
		w.Logger.Info("the kubelet lists what its containers use")
	}
	w.trouble = trouble
}

// view makes a view of what the kubelet has listed, and says why it is not
// complete if it is not.
func (w *Watcher) view(ctx context.Context, list *podresourcesapi.ListPodResourcesResponse) (view ledger.View, trouble string) {
	view.Uses, trouble = planList(list.PodResources, w.Self, w.kubeletAge())
	view.Complete = trouble == ""
	if !missing(w.Ledger.Claims(), view.Uses) {
		w.doubtful = nil
		return view, trouble
	}
	records, written, err := readCheckpoint(w.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return view, trouble // the kubelet has allocated nothing
	}
	if err != nil {
		view.Complete = false
		return view, fmt.Sprintf("the kubelet's record of init containers cannot be read; no slot is freed: %v", err)
	}
	more, doubtful := writtenOnly(entriesOf(records), view.Uses, w.asker(ctx))
	view.Uses = append(view.Uses, more...)
	news := slices.ContainsFunc(doubtful, func(u ledger.Use) bool { return !slices.Contains(w.doubtful, u) })
	if w.doubtful = doubtful; w.Nudge != nil && (news || len(doubtful) > 0 && time.Since(written) > stale) {
		w.Nudge()
	}
	return view, trouble
}

// kubeletAge returns for how long the kubelet has been there: it makes its
// socket anew when it starts.
func (w *Watcher) kubeletAge() time.Duration {
	info, err := os.Stat(w.Socket)
	if err != nil {
		return 0
	}
	return time.Since(info.ModTime())
}

// asker returns a function that says what the API server knows of a Pod, which
// asks for all Pods once, if at all.
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
