package store

import (
	"slices"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/selector"
)

// part is what belongs to a narrower interest of what a wider one holds.
type part struct {
	namespace string // "": all
	selector  selector.Selector
}

func (p part) has(o *Object) bool {
	return (p.namespace == "" || p.namespace == o.Namespace) && p.selector.Matches(o.JSON)
}

// within decides whether a query asks for a part of what an interest holds, which
// can be told exactly here. Who may list and watch the whole may do so with the
// part, but nobody else; what was only got says nothing of lists.
func within(query edgev1.Interest, narrow selector.Selector, wide edgev1.Interest, sel selector.Selector) (part, bool) {
	if wide.Get || query.Get || wide.As != query.As || ResourceOf(wide) != ResourceOf(query) ||
		wide.Namespace != "" && wide.Namespace != query.Namespace {
		return part{}, false
	}
	rest, ok := narrow.Within(sel)
	return part{query.Namespace, rest}, ok
}

// widerLocked finds what is followed and holds all of a query: of several what has
// been followed for longest, so that a watch goes on after its list.
func (s *Store) widerLocked(query edgev1.Interest) (wide *interest, only part, err error) {
	narrow, err := selector.Parse(query.Group, query.Resource, query.LabelSelector, query.FieldSelector)
	if err != nil {
		return nil, part{}, err
	}
	for _, i := range s.state.interests {
		if i.since == 0 || wide != nil && wide.since < i.since {
			continue
		}
		if p, ok := within(query, narrow, i.what, i.selector); ok {
			wide, only = i, p
		}
	}
	if wide == nil {
		return nil, part{}, ErrNotSynced
	}
	wide.used = s.now()
	return wide, only, nil
}

// ListWithin is [Store.List] of what is not followed itself, but is part of what
// is.
func (s *Store) ListWithin(query edgev1.Interest) ([]*Object, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wide, only, err := s.widerLocked(query)
	if err != nil {
		return nil, 0, err
	}
	list := slices.DeleteFunc(s.state.list(wide), func(o *Object) bool { return !only.has(o) })
	return list, s.state.seq, nil
}

// WatchWithin is [Store.Watch] of what is not followed itself, but is part of what
// is. It lasts as long as that is followed.
func (s *Store) WatchWithin(query edgev1.Interest, rv uint64) (*Watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wide, only, err := s.widerLocked(query)
	if err != nil {
		return nil, err
	}
	return s.watchLocked(wide, rv, only.has)
}
