package outbox

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/shorten"
)

const (
	callTimeout = 30 * time.Second
	// firstWait is how long the rest of a session waits for the entries that are
	// made before it.
	firstWait    = 10 * time.Second
	maxTextBytes = 200 // of what the cloud says, in a line of log
)

// Store keeps the entries.
type Store interface {
	Entries() []store.Entry
	Post(ctx context.Context, e store.Entry) error
	Settle(seq uint64, made bool)
}

// Options are the settings of an outbox.
type Options struct {
	Store Store
	// Do makes a request to the API server. Its error says why there is no answer.
	Do func(context.Context, edgev1.Call) (edgev1.Reply, error)
	// Kept is called when a deletion is refused: the object is still there, and
	// has to be asked for again.
	Kept func(store.Resource)
	Log  *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Retry has the delays of what has failed; the zero value is 1 s to 1 min.
	Retry backoff.Backoff
}

// Outbox is safe for use by several goroutines.
type Outbox struct {
	Options
	due     chan struct{} // there may be something to make
	sparing logging.Sparing

	posting sync.Mutex // held by who decides what there is room for

	mu    sync.Mutex
	ended chan struct{} // of the last pass
	count Counts
}

// Counts are numbers since edgecore started.
type Counts struct {
	// Made were made, Refused by the cloud, and Dropped because there were too
	// many.
	Made, Refused, Dropped uint64
}

// State is what waits, and what came of what waited.
type State struct {
	Counts
	Events, Others int
	Oldest         time.Time // zero: nothing waits
}

// New returns an outbox.
func New(o Options) *Outbox {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retry == (backoff.Backoff{}) {
		o.Retry = backoff.Backoff{First: time.Second, Max: time.Minute, Jitter: 0.5}
	}
	if o.Kept == nil {
		o.Kept = func(store.Resource) {}
	}
	return &Outbox{Options: o, due: make(chan struct{}, 1)}
}

// State tells what waits.
func (o *Outbox) State() State {
	o.mu.Lock()
	s := State{Counts: o.count}
	o.mu.Unlock()
	for _, e := range o.Store.Entries() {
		if e.Kind == Event {
			s.Events++
		} else {
			s.Others++
		}
		if s.Oldest.IsZero() || e.At.Before(s.Oldest) {
			s.Oldest = e.At
		}
	}
	return s
}

// Post has a request wait. What cannot wait is an error of the store's
// ([store.ErrFull], [store.ErrNotWritten]) or says what is wrong with it.
func (o *Outbox) Post(ctx context.Context, e store.Entry) error {
	o.posting.Lock()
	defer o.posting.Unlock()
	drop, err := room(o.Store.Entries(), e)
	if err != nil {
		return err
	}
	e.At = o.Now()
	if err := o.Store.Post(ctx, e); err != nil {
		return err
	}
	for _, seq := range drop {
		o.Store.Settle(seq, false)
		o.add(func(c *Counts) { c.Dropped++ })
	}
	select {
	case o.due <- struct{}{}:
	default:
	}
	return nil
}

func (o *Outbox) add(f func(*Counts)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.count)
}

// Replay makes what waits, for as long as a session lives: until ctx is done. It
// returns when everything but Events has been tried once, and goes on in the
// background.
func (o *Outbox) Replay(ctx context.Context) {
	ended, tried := make(chan struct{}), make(chan struct{})
	o.mu.Lock()
	before := o.ended
	o.ended = ended
	o.mu.Unlock()
	if before != nil {
		<-before // its session is over
	}
	go func() {
		defer close(ended)
		o.run(ctx, tried)
	}()
	timer := time.NewTimer(firstWait)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// result is an attempt.
type result struct {
	entry store.Entry
	reply edgev1.Reply
	err   error
}

// run is a pass. tried is closed when the first attempts are over.
func (o *Outbox) run(ctx context.Context, tried chan<- struct{}) {
	p := newPass()
	first := sync.OnceFunc(func() { close(tried) })
	defer first()
	results := make(chan result)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		start, wait, others := p.next(o.Store.Entries(), o.Now())
		for _, e := range start {
			p.busy[e.Key] = true
			go func() { results <- o.try(ctx, e) }()
		}
		if !others {
			first()
		}
		var again <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			again = timer.C
		}
		select {
		case <-ctx.Done():
			for len(p.busy) > 0 {
				o.settle(ctx, p, <-results)
			}
			return
		case r := <-results:
			o.settle(ctx, p, r)
		case <-o.due:
		case <-again:
		}
	}
}

// try makes a request once.
func (o *Outbox) try(ctx context.Context, e store.Entry) result {
	call := e.Call
	call.Timeout = callTimeout
	ctx, cancel := context.WithTimeout(ctx, callTimeout+2*time.Second) // the cloud's answer is better than ours
	defer cancel()
	reply, err := o.Do(ctx, call)
	return result{e, reply, err}
}

// settle takes what came of an attempt.
func (o *Outbox) settle(ctx context.Context, p *pass, r result) {
	e := r.entry
	delete(p.busy, e.Key)
	switch what := judge(e.Kind, r.reply.Status, r.err, p.failed[e.Key].times); what {
	case made:
		p.answered(e.Key)
		o.Store.Settle(e.Seq, true)
		o.add(func(c *Counts) { c.Made++ })
	case later, away:
		wait := p.fail(e.Key, what == away, r.reply.RetryAfter, o.Retry, o.Now())
		if ctx.Err() == nil {
			o.Log.Debug("a request of the time without a link has to wait", "kind", e.Kind, "resource", e.Resource.Name,
				"namespace", e.Namespace, "name", e.Name, "error", r.err, "status", r.reply.Status, "next", wait)
		}
	case refused:
		p.answered(e.Key)
		o.Store.Settle(e.Seq, false)
		o.add(func(c *Counts) { c.Refused++ })
		o.sparing.Log(o.Log, slog.LevelWarn, "the cluster refuses what was done while the link was cut", "kind", e.Kind,
			"resource", e.Resource.Name, "namespace", e.Namespace, "name", e.Name, "status", r.reply.Status,
			"message", shorten.Text(reason(r.reply), maxTextBytes))
		if e.Deletes != "" {
			o.Kept(e.Resource)
		}
	}
}

// reason is what the API server says.
func reason(r edgev1.Reply) string {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(r.Body, &status) == nil && status.Message != "" {
		return status.Message
	}
	return "status " + strconv.Itoa(r.Status)
}
