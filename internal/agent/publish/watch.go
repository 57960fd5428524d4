package publish

import (
	"maps"

	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// watchObserver takes in one of the two watches.
type watchObserver struct {
	p      *Publisher
	shared bool
	once   bool
	// latest is the resource version up to which the watch has brought all
	// changes.
	latest string
}

// covers tells whether the watch would show an object.
func (s *watchObserver) covers(o *v0.Instance) bool {
	if s.shared {
		return o.Labels[v0.LabelShared] == "true"
	}
	return o.Labels[v0.LabelNode] == v0.NodeLabel(s.p.opts.Node)
}

// watchOf returns the watch that would show an object, or nil.
func (p *Publisher) watchOf(o *v0.Instance) *watchObserver {
	for _, s := range p.watches {
		if s.covers(o) {
			return s
		}
	}
	return nil
}

// watchPassed tells whether the watch has brought what happened to an object
// since it had this version. The caller holds p.mu.
func (p *Publisher) watchPassed(o *v0.Instance) bool {
	s := p.watchOf(o)
	return s != nil && s.latest != "" && !newer(o.ResourceVersion, s.latest)
}

// Replaced implements [kubeclient.Observer].
func (s *watchObserver) Replaced(all []*v0.Instance, resourceVersion string) {
	var names []types.NamespacedName
	listed := make(map[types.NamespacedName]bool, len(all))
	for _, o := range all {
		listed[nameOf(o)] = true
	}
	s.p.mu.Lock()
	s.latest = resourceVersion
	maps.DeleteFunc(s.p.unread, func(_ types.NamespacedName, u unread) bool { return u.shared == s.shared })
	for name, was := range s.p.observed {
		if s.covers(was.object) && !listed[name] && !(was.written && newer(was.object.ResourceVersion, resourceVersion)) {
			s.p.vanish(name, was.object.UID)
			names = append(names, name)
		}
	}
	for _, o := range all {
		was := s.p.observed[nameOf(o)]
		if was != nil && was.object.UID == o.UID {
			if was.object.ResourceVersion == o.ResourceVersion {
				was.written = false
				continue
			}
			if was.written && newer(was.object.ResourceVersion, o.ResourceVersion) {
				continue
			}
		}
		s.see(o)
		names = append(names, nameOf(o))
	}
	if !s.once {
		s.once = true
		if s.p.synced++; s.p.synced == 2 {
			close(s.p.ready)
		}
	}
	s.p.mu.Unlock()
	for _, name := range names {
		s.p.observedChange(name)
	}
}

// Changed implements [kubeclient.Observer].
func (s *watchObserver) Changed(o *v0.Instance) {
	s.p.mu.Lock()
	s.latest = o.ResourceVersion
	was := s.p.observed[nameOf(o)]
	if was != nil && !newer(o.ResourceVersion, was.object.ResourceVersion) {
		// This node's write, or an earlier state.
		if o.ResourceVersion == was.object.ResourceVersion {
			was.written = false
			s.p.letGo(nameOf(o))
		}
		s.p.mu.Unlock()
		return
	}
	s.see(o)
	s.p.mu.Unlock()
	s.p.observedChange(nameOf(o))
}

// Deleted implements [kubeclient.Observer].
func (s *watchObserver) Deleted(o *v0.Instance) {
	s.p.mu.Lock()
	s.latest = o.ResourceVersion
	was := s.p.observed[nameOf(o)]
	if was != nil && (was.object.UID != o.UID || was.written && newer(was.object.ResourceVersion, o.ResourceVersion)) {
		s.p.mu.Unlock()
		return
	}
	s.p.vanish(nameOf(o), o.UID)
	s.p.mu.Unlock()
	s.p.observedChange(nameOf(o))
}

// see notes an Instance of the watch. The caller holds p.mu.
func (s *watchObserver) see(o *v0.Instance) {
	if !nameOnly(o) {
		s.p.see(o, false)
		return
	}
	name := nameOf(o)
	delete(s.p.observed, name)
	s.p.unread[name] = unread{shared: s.shared, device: digest(o.Annotations[v0.AnnotationDeviceID])}
	if g := s.p.goals[name]; g != nil {
		g.vanished = false
	}
}
