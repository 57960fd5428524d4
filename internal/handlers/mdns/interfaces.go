package mdns

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/handlers/mdns/browse"
	"github.com/akri-go/akri/internal/handlers/mdns/dnsmsg"
	"github.com/akri-go/akri/internal/handlers/multicast"
)

// lookAround uses the interfaces that requests look on, and has each be asked for
// what these want there.
func (s *station) lookAround(now time.Time) {
	var err error
	was := s.listen
	if s.all, err = s.air.Interfaces(); err != nil {
		s.listen = fmt.Sprintf("the network interfaces cannot be seen: %v", err)
		s.look = now.Add(listenRetry)
		return
	}
	want := map[int][]browse.Wanted{}
	var used []multicast.Interface
	for r := range s.requests {
		for _, i := range multicast.Suitable(s.all, r.patterns) {
			if _, there := want[i.Index]; !there {
				used = append(used, i)
			}
			want[i.Index] = append(want[i.Index], r.types...)
		}
	}
	slices.SortFunc(used, func(a, b multicast.Interface) int { return a.Index - b.Index })
	s.listen = ""
	if err := s.air.Listen(used); err != nil && !errors.Is(err, net.ErrClosed) {
		s.listen = explain(err)
		s.look = now.Add(listenRetry)
	}
	if s.listen != was && s.listen != "" {
		s.options.Log.Warn("not everything can be heard", "error", s.listen)
	}
	for index, l := range s.links {
		if !slices.ContainsFunc(used, func(i multicast.Interface) bool { return i.Index == index && i.Name == l.Name }) {
			l.Forget()
			delete(s.links, index)
		}
	}
	for _, i := range used {
		l := s.links[i.Index]
		if l == nil {
			l = &link{Link: browse.NewLink(i.Name, &s.census)}
			s.links[i.Index] = l
		} else if i.Flags != l.Flags || !slices.Equal(i.Prefixes, l.Prefixes) {
			l.Again(now)
		}
		l.Interface = i
		l.SetAddresses(i.Prefixes)
		l.Want(want[i.Index], now)
	}
	for r := range s.requests {
		poke(r.news)
	}
}

// explain says why it cannot be listened, and what can be done.
func explain(err error) string {
	text := err.Error()
	if errors.Is(err, unix.EADDRINUSE) {
		text += ": another program has it for itself: make it share the port, or stop it"
	}
	return strings.ReplaceAll(text, "\n", "; ")
}

// knows tells whether all is known that there is for a request.
func (s *station) knows(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	suitable := multicast.Suitable(s.all, r.patterns)
	for _, i := range suitable {
		l := s.links[i.Index]
		if l == nil || slices.ContainsFunc(r.names, func(n dnsmsg.Name) bool { return !l.Knows(n) }) {
			return false
		}
	}
	return len(suitable) > 0
}

// known returns what is known for a request, and when the message came that has
// changed it since the last time; zero if none has.
func (s *station) known(r *request) (k known, cause time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cause, r.cause = r.cause, time.Time{}
	suitable := multicast.Suitable(s.all, r.patterns)
	if len(suitable) == 0 {
		k.problems = append(k.problems, nowhere(s.all, r.patterns))
	}
	if s.listen != "" {
		k.problems = append(k.problems, s.listen)
	}
	for _, i := range suitable {
		l := s.links[i.Index]
		if l == nil {
			continue
		}
		list, mute := l.Services(r.names)
		k.services = append(k.services, list...)
		k.mute += mute
		if l.send != "" {
			k.problems = append(k.problems, l.send)
		}
	}
	if left := time.Until(s.fullAt.Add(fullNoted)); left > 0 {
		k.again = left
		k.problems = append(k.problems, fmt.Sprintf("there are more than %d services, more than %d on one interface, "+
			"or more than %d of one address: the rest is left out",
			browse.MaxInstances, browse.MaxPerLink, browse.MaxPerSource))
	}
	return k, cause
}

// nowhere says that there is no interface to look on.
func nowhere(all []multicast.Interface, patterns []string) string {
	switch {
	case patterns != nil && len(patterns) == 0:
		return "there is nowhere to look: interfaces is empty"
	case patterns != nil:
		return multicast.NoneCalled(all, patterns)
	}
	return "no suitable network interface: name one in interfaces; a Pod must be on the node's network"
}
