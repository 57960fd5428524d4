package index

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/eventually"
)

var (
	all   = Selection{Resource: configMaps}
	alice = kube.User{Name: "alice"}
	bob   = kube.User{Name: "bob"}
)

// A watch that breaks goes on where it was; what is not new is not told.
func TestResume(t *testing.T) {
	s, cfg := newScript(t,
		step{events: []string{"+a@1", "+b@2", "end@3"}, stay: true},
		step{events: []string{"+b@4", "-a@5", "mark@9"}, stay: true},
		step{events: []string{"+c@10"}, stay: true},
	)
	x := run(t, cfg, Options{})
	sub, h := follow(t, x, all, "n", alice)
	has(t, sub, "a@1 b@2")
	told(t, h, "a b")
	s.cut()
	told(t, h, "b -a")
	has(t, sub, "b@4")
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if _, version, _ := sub.Digest(); version != "9" {
			return fmt.Errorf("version %s", version)
		}
		return nil
	})
	s.cut()
	told(t, h, "c")
	s.asked("list alice", "3 alice", "9 alice")
	if h.synced != 1 {
		t.Errorf("synced was told %d times", h.synced)
	}
}

// The API server no longer has the events, has forgotten its history, or was
// away: the list is read anew, and what has changed is found by comparing.
func TestRelist(t *testing.T) {
	for name, between := range map[string][]step{
		"410":                   {{code: 410}},
		"410 in the watch":      {{events: []string{"!410"}}},
		"version of the future": {{code: 504}},
		"not ready":             {{code: 503}, {code: 503}},
		"list that breaks":      {{code: 410}, {events: []string{"+a@1", "+c@7"}}, {code: 503}},
	} {
		t.Run(name, func(t *testing.T) {
			steps := append([]step{{events: []string{"+a@1", "+b@2", "+c@3", "end@3"}, stay: true}}, between...)
			steps = append(steps, step{events: []string{"+a@1", "+c@7", "+d@4", "end@8"}, stay: true})
			s, cfg := newScript(t, steps...)
			x := run(t, cfg, Options{})
			sub, h := follow(t, x, all, "n", alice)
			has(t, sub, "a@1 b@2 c@3")
			h.take()
			s.cut()
			has(t, sub, "a@1 c@7 d@4")
			got := h.take()
			for _, want := range []string{"c", "d", "-b"} {
				if strings.Count(" "+got+" ", " "+want+" ") != 1 {
					t.Errorf("it was told %q, want %s in it once", got, want)
				}
			}
			if strings.Contains(" "+got, " a") {
				t.Errorf("it was told %q, and a has not changed", got)
			}
			if got := x.Stats().Objects; got != 3 {
				t.Errorf("%d objects are counted", got)
			}
		})
	}
}

// All who follow the same share one watch. It is made in the name of one of them,
// and in that of another when that one goes.
func TestUsers(t *testing.T) {
	s, cfg := newScript(t, step{events: []string{"+a@1", "end@1"}, stay: true}, step{events: []string{"+b@2"},
		stay: true})
	x := run(t, cfg, Options{})
	one, _ := follow(t, x, all, "n", alice)
	has(t, one, "a@1")
	two, h := follow(t, x, all, "m", bob)
	has(t, two, "a@1") // at once
	one.Close()
	one.Close()
	has(t, two, "a@1 b@2")
	told(t, h, "b")
	s.asked("list alice", "1 bob")
	if st := x.Stats(); st.Feeds != 1 || st.Lists != 1 {
		t.Errorf("%+v", st)
	}
}

// Who is refused for long enough is told; others are served in their own names.
func TestRefused(t *testing.T) {
	_, cfg := newScript(t, step{code: 403}, step{code: 403}, step{code: 403}, step{events: []string{"+a@1",
		"end@1"}, stay: true})
	x := run(t, cfg, Options{Patience: time.Millisecond})
	one, h := follow(t, x, all, "n", alice)
	_, same := follow(t, x, all, "m", alice)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if !apierrors.IsForbidden(h.failure()) || !apierrors.IsForbidden(same.failure()) {
			return fmt.Errorf("told: %v, %v", h.failure(), same.failure())
		}
		return nil
	})
	two, h2 := follow(t, x, all, "m", bob)
	has(t, two, "a@1")
	if h2.failure() != nil {
		t.Errorf("bob was told %v", h2.failure())
	}
	one.Close() // it has ended already
}

// What is wrong with the resource, not the user, concerns all.
func TestNoSuchResource(t *testing.T) {
	_, cfg := newScript(t, step{code: 404}, step{code: 404}, step{code: 404})
	x := run(t, cfg, Options{Patience: time.Millisecond})
	_, h := follow(t, x, all, "n", alice)
	_, h2 := follow(t, x, all, "m", bob)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if !apierrors.IsNotFound(h.failure()) || !apierrors.IsNotFound(h2.failure()) {
			return fmt.Errorf("told: %v, %v", h.failure(), h2.failure())
		}
		return nil
	})
}

// An API server that has just started refuses what it allows a moment later.
func TestRefusedForAMoment(t *testing.T) {
	_, cfg := newScript(t, step{code: 403}, step{code: 403}, step{code: 403}, step{events: []string{"+a@1",
		"end@1"}, stay: true})
	x := run(t, cfg, Options{Patience: time.Hour})
	sub, h := follow(t, x, all, "n", alice)
	has(t, sub, "a@1")
	if h.failure() != nil {
		t.Errorf("told %v", h.failure())
	}
}

// A feed that nobody follows ends after a while, and what it kept is gone.
func TestLinger(t *testing.T) {
	s, cfg := newScript(t,
		step{events: []string{"+a@1", "end@1"}, stay: true}, step{events: []string{"+a@1", "end@1"}, stay: true},
		step{events: []string{"+a@1", "end@1"}, stay: true})
	x := run(t, cfg, Options{Linger: time.Millisecond})
	sub, _ := follow(t, x, all, "n", alice)
	has(t, sub, "a@1")
	sub.Close()
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if st := x.Stats(); st.Feeds != 0 || st.Objects != 0 || st.CacheBytes != 0 {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	s.asked("list alice")
	again, _ := follow(t, x, all, "n", alice)
	has(t, again, "a@1")
}

func TestLimits(t *testing.T) {
	_, cfg := newScript(t, step{events: []string{"+a@1", "+b@1", "+c@1", "end@1"}, stay: true})
	x := run(t, cfg, Options{MaxObjects: 2, MaxFeeds: 1})
	_, h := follow(t, x, all, "n", alice)
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if err := h.failure(); !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("told %v", err)
		}
		return nil
	})
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if st := x.Stats(); st.Objects != 0 || st.Feeds != 0 {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	follow(t, x, all, "n", alice)
	if _, err := x.Follow(Selection{Resource: services}, "n", alice, &heard{}); !apierrors.IsTooManyRequests(err) {
		t.Errorf("one feed too many: %v", err)
	}
}

func TestRead(t *testing.T) {
	s, cfg := newScript(t,
		step{events: []string{"+a@1", "end@1"}, stay: true},
		step{events: []string{"+a@2", "end@3"}, stay: true}, // the reading of a
		step{events: []string{"end@3"}, stay: true},
		step{events: []string{"+a@2"}},
	)
	x := run(t, cfg, Options{})
	sub, _ := follow(t, x, all, "n", alice)
	has(t, sub, "a@1")
	a := Key{"x", "a"}
	o, err := sub.Read(t.Context(), a)
	if err != nil || o.Version != "1" || !strings.Contains(string(o.JSON), `"name":"a"`) {
		t.Fatalf("from the cache: %+v, %v", o, err)
	}
	x.cache.drop(sub.f, a)
	if o, err = sub.Read(t.Context(), a); err != nil || o.Version != "2" {
		t.Errorf("read again: %+v, %v", o, err)
	}
	if o, err = sub.Read(t.Context(), a); err != nil || o != nil {
		t.Errorf("gone meanwhile: %+v, %v", o, err)
	}
	if o, err = sub.Read(t.Context(), a); err == nil {
		t.Errorf("a list that breaks is %+v", o)
	}
	if o, err = sub.Read(t.Context(), Key{"x", "b"}); err != nil || o != nil {
		t.Errorf("what there is not: %+v, %v", o, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = sub.Read(ctx, a); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
	eventually.Succeeds(t, eventually.Patience, func(context.Context) error {
		if got := x.Stats().Reads; got < 3 {
			return fmt.Errorf("%d reads", got)
		}
		return nil
	})
	s.cut()
}

// An etcd that was restored from a backup has an older list, with objects in older
// versions. Who follows them is told.
func TestWentBack(t *testing.T) {
	s, cfg := newScript(t,
		step{events: []string{"+a@1", "+b@5", "end@6", "+b@7"}, stay: true},
		step{code: 410},
		step{events: []string{"+a@1", "+b@8", "end@9"}, stay: true}, // only a list that was read anew
		step{code: 504},
		step{events: []string{"+a@1", "+b@5", "end@6"}, stay: true},
		step{code: 410},
		step{events: []string{"+a@1", "+b@5", "end@7"}, stay: true}, // once
	)
	x := run(t, cfg, Options{})
	sub, h := follow(t, x, all, "n", alice)
	back := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.back
	}
	has(t, sub, "a@1 b@7")
	s.cut()
	has(t, sub, "a@1 b@8")
	if n := back(); n != 0 {
		t.Errorf("told %d times though nothing was forgotten", n)
	}
	for _, version := range []string{"6", "7"} {
		s.cut()
		eventually.Succeeds(t, time.Minute, func(context.Context) error {
			if _, at, _ := sub.Digest(); at != version || back() != 1 {
				return fmt.Errorf("told %d times, version %s", back(), at)
			}
			return nil
		})
		has(t, sub, "a@1 b@5")
	}
}
