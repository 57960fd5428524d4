package dashboard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/akri-go/akri/internal/dashboard/board"
	"github.com/akri-go/akri/internal/dashboard/feed"
	"github.com/akri-go/akri/internal/dashboard/follow"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/pace"
)

const (
	// minInterval and maxInterval are between two boards while the cluster changes
	// all the time; cpuShare bounds the part of a processor that making them takes.
	minInterval = 100 * time.Millisecond
	maxInterval = 300 * time.Millisecond
	cpuShare    = 10
	// lookInterval is how often a board is made although nothing has changed: that
	// time has passed can be a finding.
	lookInterval = 10 * time.Second
	// maxAge is how old an answer may be that nobody has watched come.
	maxAge = time.Second
)

// source is what the keeper knows of the cluster: a [follow.Follower].
type source interface {
	Seen() follow.Seen
	Changed() <-chan struct{}
	Ready() error
}

// keeper keeps the feed up to date while somebody looks.
type keeper struct {
	source source
	feed   *feed.Feed
	log    *slog.Logger

	mu   sync.Mutex // held while a picture is made
	last *picture   // nil if there is none that may be shown
}

// picture is a cluster with what was found out about it.
type picture struct {
	seen  follow.Seen
	found explain.Explained
	made  time.Time
}

// run works until ctx is done.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	p := pace.Pace{MinInterval: minInterval, MaxInterval: maxInterval, Share: cpuShare}
	for ctx.Err() == nil {
		if !k.feed.Watched() {
			k.forget()
			select {
			case <-ctx.Done():
				return
			case <-k.feed.Joined():
			}
		}
		wait := time.NewTimer(p.Wait(time.Now()))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
		began := time.Now()
		k.renew()
		p.Done(began, time.Now())
		select {
		case <-ctx.Done():
		case <-k.source.Changed():
		case <-tick.C:
		case <-k.feed.Joined():
		}
	}
}

// forget lets go of what nobody looks at.
func (k *keeper) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = nil
	k.feed.Clear()
}

// renew makes a board and gives it to the feed.
func (k *keeper) renew() {
	entries := k.board(0)
	if _, err := k.feed.Put(entries); err != nil {
		k.log.Error("cannot show the cluster", "error", err)
	}
}

// board makes a board that is at most so old.
func (k *keeper) board(age time.Duration) []board.Entry {
	p := k.look(age)
	var away *board.Away
	if p.seen.AwayWhy != "" {
		away = &board.Away{Since: p.seen.AwaySince.UTC().Truncate(time.Second), Why: p.seen.AwayWhy}
	}
	if err := k.source.Ready(); err != nil {
		return []board.Entry{board.Reading(err, away)}
	}
	return board.Of(p.seen.Cluster, p.found, away)
}

// look returns a picture that is at most so old.
func (k *keeper) look(age time.Duration) *picture {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && time.Since(k.last.made) < age {
		return k.last
	}
	seen := k.source.Seen()
	k.last = &picture{seen: seen, found: explain.Explain(seen.Cluster), made: time.Now()}
	return k.last
}

// explain says why something is as it is: while somebody looks, by what is shown.
func (k *keeper) explain(s explain.Subject) (board.Details, error) {
	age := maxAge
	if k.feed.Watched() {
		age = lookInterval
	}
	if err := k.source.Ready(); err != nil {
		return board.Details{}, err
	}
	p := k.look(age)
	if s.Kind == "" {
		return board.Details{Answer: p.found.All("")}, nil
	}
	return board.Explain(p.seen.Cluster, p.found, s)
}
