package registry

import (
	"strings"
	"testing"
)

func TestAdmit(t *testing.T) {
	for _, test := range []struct {
		name string
		who  process
		want bool
	}{
		{"root", process{uid: 0, gid: 0}, true},
		{"a user given", process{uid: 7, gid: 7}, true},
		{"the group", process{uid: 8, gid: 100}, true},
		{"the group, supplementary", process{uid: 8, gid: 8, groups: []int{3, 100}}, true},
		{"another", process{uid: 8, gid: 8, groups: []int{0, 3}}, false},
		{"root's group", process{uid: 8, gid: 0}, false},
		{"unknown", process{err: errFull}, false},
	} {
		if err := admit(test.who, []int{7}, 100); (err == nil) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestBound(t *testing.T) {
	uids := map[string][]int{"udev": {65532, 7}, "nobody": {}}
	for _, test := range []struct {
		name string
		uid  int
		says string
	}{
		{"udev", 65532, ""},
		{"udev", 7, ""},
		{"udev", 0, "user 0 may not register a handler \"udev\" on this node, only user 65532, user 7 may (agent.handlerUIDs)"},
		{"nobody", 0, "no process may"},
		{"Udev", 3, ""},
		{"other", 3, ""},
	} {
		err := admitName(process{uid: test.uid}, test.name, uids)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s as %d: %v, want %q", test.name, test.uid, err, test.says)
		}
	}
}
