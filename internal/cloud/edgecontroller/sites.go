package edgecontroller

import (
	"slices"
	"sync"
)

// sites are the sites of Nodes, by their label. A Node without one is alone.
type sites struct {
	mu    sync.Mutex
	of    map[string]string              // by node
	nodes map[string]map[string]struct{} // by site
}

// reach returns the nodes whose endpoints a node reaches: itself, and the others
// of its site.
func (s *sites) reach(node string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{node}
	for n := range s.nodes[s.of[node]] {
		if n != node {
			out = append(out, n)
		}
	}
	slices.Sort(out[1:])
	return out
}

// set notes a node's site, "" being none, and returns the nodes that reach others
// now.
func (s *sites) set(node, site string) (changed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.of[node]
	if before == site {
		return nil
	}
	if s.of == nil {
		s.of, s.nodes = map[string]string{}, map[string]map[string]struct{}{}
	}
	changed = []string{node}
	if before != "" {
		if delete(s.nodes[before], node); len(s.nodes[before]) == 0 {
			delete(s.nodes, before)
		}
		for n := range s.nodes[before] {
			changed = append(changed, n)
		}
	}
	if site == "" {
		delete(s.of, node)
		return changed
	}
	for n := range s.nodes[site] {
		changed = append(changed, n)
	}
	if s.nodes[site] == nil {
		s.nodes[site] = map[string]struct{}{}
	}
	s.of[node], s.nodes[site][node] = site, struct{}{}
	return changed
}
