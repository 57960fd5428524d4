package edge

import "testing"

func TestRegistration(t *testing.T) {
	type look struct {
		pid            int
		there, current bool
		lost           bool
	}
	for name, looks := range map[string][]look{
		"it has not registered yet":      {{7, false, false, false}, {7, false, true, false}, {7, false, true, false}},
		"its Node is gone":               {{7, true, true, false}, {7, false, true, true}},
		"once for each kubelet":          {{7, true, true, false}, {7, false, true, true}, {7, false, true, false}, {8, false, true, false}},
		"again":                          {{7, true, true, false}, {7, false, true, true}, {8, true, true, false}, {8, false, true, true}},
		"the store was lost":             {{7, true, true, false}, {7, false, false, false}, {7, true, true, false}},
		"deleted while the link was cut": {{7, true, true, false}, {7, true, false, false}, {7, false, true, true}},
		"started while the link was cut": {{7, true, false, false}, {7, false, true, true}},
		"the kubelet has just restarted": {{7, true, true, false}, {8, false, true, false}, {8, true, true, false}},
		"the kubelet does not run":       {{7, true, true, false}, {0, false, true, false}, {8, false, true, false}},
	} {
		var r registration
		for i, l := range looks {
			if lost := r.lost(l.pid, l.there, l.current); lost != l.lost {
				t.Errorf("%s: at %d: %v, want %v", name, i, lost, l.lost)
			}
		}
	}
}
