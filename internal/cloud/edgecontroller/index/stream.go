package index

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

const (
	// A watch is ended by the server after a time between these two, so that
	// those that began together do not end together.
	minWatch, maxWatch = 5 * time.Minute, 10 * time.Minute
	// shortWatch is a watch so short that the next one waits.
	shortWatch = time.Second
	// minRefusals is how often a watch must be refused before that is believed.
	minRefusals = 3
)

// rewatch is the back-off of a watch that cannot be opened.
var rewatch = backoff.Backoff{First: 100 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.5}

// refusals counts how often, and since when, the API server has refused the
// present user of a feed.
type refusals struct {
	n     int
	since time.Time
}

// run watches until ctx is done or nobody is left to watch for.
func (f *feed) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		attempt, again := context.WithCancel(ctx)
		as, ok := f.begin(again)
		if !ok {
			again()
			if f.x.end(f) {
				return
			}
			continue
		}
		began := time.Now()
		opened, err := f.watch(attempt, as)
		restarted := attempt.Err() != nil && ctx.Err() == nil
		again()
		if ctx.Err() != nil {
			return
		}
		if restarted {
			continue
		}
		lived := time.Since(began)
		f.ended(opened, err)
		if err != nil && f.refused(err) {
			failures = 0
			continue
		}
		if opened && lived >= shortWatch {
			failures = 0
			continue
		}
		failures++
		if err != nil {
			f.x.complaints.Log(f.x.log, slog.LevelWarn, "a watch fails; trying again", "resource", f.whole.Path(),
				"fields", f.whole.Fields, "labels", f.whole.Labels, "error", err)
		}
		if backoff.Sleep(ctx, rewatch.Delay(failures)) != nil {
			return
		}
	}
}

// begin chooses in whose name the next attempt is made.
func (f *feed) begin(again func()) (kube.User, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again = again
	if f.own != nil {
		return kube.User{}, f.permanent() || len(f.subs) > 0
	}
	if f.current == nil || !f.has(f.current) {
		f.current, f.refusals = nil, refusals{}
		for _, subs := range f.subs {
			for s := range subs {
				f.current = s
				return s.as, true
			}
		}
		return kube.User{}, false
	}
	return f.current.as, true
}

// watch makes one attempt. Opened tells whether the API server accepted it.
func (f *feed) watch(ctx context.Context, as kube.User) (opened bool, err error) {
	f.mu.Lock()
	from := f.version
	f.mu.Unlock()
	if from == "" {
		f.beginList()
		f.x.lists.Add(1)
	}
	w := kube.Watch{
		Resource: f.whole.Resource, Fields: f.whole.Fields, Labels: f.whole.Labels,
		Version: from, Timeout: minWatch + rand.N(maxWatch-minWatch),
	}
	// The server ends the watch; if it does not, something between does not tell.
	ctx, cancel := context.WithTimeout(ctx, w.Timeout+time.Minute)
	defer cancel()
	err = f.x.client.Watch(ctx, as, w, func() { opened = true }, f.take)
	return opened, err
}

// ended notes the end of an attempt: whether the next one may go on from the
// last version.
func (f *feed) ended(opened bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if status := apierrors.APIStatus(nil); !opened || errors.As(err, &status) || errors.Is(err, errFull) {
		f.version = ""
	}
	if opened {
		f.refusals = refusals{}
	}
}

// refused decides what an error means for the subscribers. True: some of them
// have been told, and the next attempt need not wait.
func (f *feed) refused(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.permanent() {
		return false
	}
	if errors.Is(err, errFull) {
		f.fail(apierrors.NewTooManyRequests(err.Error(), 0), func(*Subscription) bool { return true })
		return true
	}
	if !kube.Refused(err) || kube.NotImpersonated(err) {
		return false
	}
	if f.refusals.n++; f.refusals.n == 1 {
		f.refusals.since = time.Now()
	}
	if f.refusals.n < minRefusals || time.Since(f.refusals.since) < f.x.patience {
		return false
	}
	user := ""
	if f.current != nil {
		user = f.current.as.Key()
	}
	status := apierrors.APIStatus(nil)
	onlyUser := errors.As(err, &status) && status.Status().Code == http.StatusForbidden
	f.fail(err, func(s *Subscription) bool { return !onlyUser || f.own != nil || s == f.current || s.as.Key() == user })
	return true
}

// fail ends subscriptions.
func (f *feed) fail(err error, which func(*Subscription) bool) {
	var failed []*Subscription
	for slice, subs := range f.subs {
		for s := range subs {
			if slice == s.first() && which(s) {
				failed = append(failed, s)
			}
		}
	}
	for _, s := range failed {
		f.forget(s)
		s.listener.Failed(err)
	}
	f.current = nil
}

// has tells whether a subscription has not ended.
func (f *feed) has(s *Subscription) bool {
	_, there := f.subs[s.first()][s]
	return there
}

// first is the first of a subscription's slices.
func (s *Subscription) first() string {
	first, _, _ := strings.Cut(s.slice, separator)
	return first
}

// forget removes a subscription.
func (f *feed) forget(s *Subscription) {
	for slice := range strings.SplitSeq(s.slice, separator) {
		subs := f.subs[slice]
		if delete(subs, s); len(subs) == 0 {
			delete(f.subs, slice)
		}
	}
}
