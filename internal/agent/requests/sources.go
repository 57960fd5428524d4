package requests

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/akri-go/akri/internal/backoff"
)

// Objects reads what discoveryProperties refer to. Kind is Secret or ConfigMap.
// An object that is not there is reported by found, not by an error. Of a
// ConfigMap data is data and binaryData as one; data comes first.
type Objects interface {
	Read(ctx context.Context, kind, namespace, name string) (data map[string][]byte, found bool, err error)
	// Watch calls on with the object as it is and each time that it has
	// changed, until the watch ends.
	Watch(ctx context.Context, kind, namespace, name string, on func(data map[string][]byte, found bool)) error
}

const (
	// pollMost is how long an object that may be read but not watched is not
	// looked at, and half of it the shortest time.
	pollMost = 60 * time.Second
	// firstPause and lastPause are how long a watch that failed waits at first and
	// at most.
	firstPause, lastPause = time.Second, 15 * time.Second
	// readTimeout bounds a read.
	readTimeout = 15 * time.Second
	// maxSources bounds how many objects are followed, a connection's stream
	// and a goroutine each.
	maxSources = 256
)

var errTooMany = fmt.Errorf("more than %d Secrets and ConfigMaps are referred to: put properties together in fewer", maxSources)

// sources follows the objects that Configurations refer to, one watch each,
// or reads them again and again where the agent may not watch.
type sources struct {
	objects Objects
	log     *slog.Logger
	// changed has room for one: something became known.
	changed chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	follows map[Ref]*follow
}

// follow is one object that is followed.
type follow struct {
	stop   context.CancelFunc
	source Source
}

func newSources(objects Objects, log *slog.Logger) *sources {
	return &sources{objects: objects, log: log, changed: make(chan struct{}, 1), follows: map[Ref]*follow{}}
}

// want follows these objects, and no others any more.
func (s *sources) want(ctx context.Context, refs map[Ref]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref, f := range s.follows {
		if !refs[ref] {
			f.stop()
			delete(s.follows, ref)
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(refs), compareRefs) {
		if s.follows[ref] != nil || len(s.follows) >= maxSources {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		f := &follow{stop: stop}
		s.follows[ref] = f
		s.running.Go(func() { s.run(ctx, ref, f) })
	}
}

// stop ends all; it is called when the context of want is done.
func (s *sources) stop() {
	s.want(context.Background(), nil)
	s.running.Wait()
}

// known returns what is known of an object that is wanted.
func (s *sources) known(ref Ref) Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.follows[ref]; f != nil {
		return f.source
	}
	return Source{Err: errTooMany}
}

func (s *sources) run(ctx context.Context, ref Ref, f *follow) {
	pauses := backoff.Backoff{First: firstPause, Max: lastPause}
	failures, polls := 0, false
	for {
		began := time.Now()
		err := s.objects.Watch(ctx, ref.Kind, ref.Namespace, ref.Name, func(data map[string][]byte, found bool) {
			s.set(f, Source{Known: true, Found: found, Data: data})
		})
		forbidden := apierrors.IsForbidden(err)
		if forbidden {
			err = s.read(ctx, ref, f)
		}
		if ctx.Err() != nil {
			return
		}
		wait := pauses.Delay(failures + 1)
		switch {
		case err != nil:
			s.failed(f, err)
			failures++
		case forbidden:
			if !polls {
				s.log.Info("a source of discoveryProperties is read once or twice a minute: the agent may get it, but not watch it", "source", ref.String())
			}
			wait, failures = backoff.Jitter(pollMost, 0.5), 0
		case time.Since(began) > lastPause: // watches end now and then
			wait, failures = 0, 0
		}
		polls = forbidden && err == nil
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
	}
}

func (s *sources) read(ctx context.Context, ref Ref, f *follow) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	data, found, err := s.objects.Read(ctx, ref.Kind, ref.Namespace, ref.Name)
	if err == nil {
		s.set(f, Source{Known: true, Found: found, Data: data})
	}
	return err
}

// failed notes why an object cannot be read. What is known of it stays true
// while the API server is away, but not if the right to read it was taken.
func (s *sources) failed(f *follow, err error) {
	s.mu.Lock()
	last := f.source
	s.mu.Unlock()
	if !last.Known || apierrors.IsForbidden(err) {
		last.Err = err
		s.set(f, last)
	}
}

func (s *sources) set(f *follow, now Source) {
	s.mu.Lock()
	same := same(f.source, now)
	f.source = now
	s.mu.Unlock()
	if same {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func same(a, b Source) bool {
	return a.Known == b.Known && a.Found == b.Found && maps.EqualFunc(a.Data, b.Data, slices.Equal) &&
		(a.Err == nil) == (b.Err == nil) && (a.Err == nil || errors.Is(a.Err, b.Err) || a.Err.Error() == b.Err.Error())
}

func compareRefs(a, b Ref) int {
	return slices.Compare([]string{a.Namespace, a.Kind, a.Name}, []string{b.Namespace, b.Kind, b.Name})
}
