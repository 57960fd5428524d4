package bounded

import (
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	limits := Limits{Connections: 6, PerPeer: 3}
	for _, tt := range []struct {
		name string
		// A letter is a connection of that peer, oldest first; capitals are busy.
		open, peer string
		victim     int // -1: none
		ok         bool
	}{
		{"first", "", "a", -1, true},
		{"room", "aab", "a", -1, true},
		{"its share is used: its oldest quiet one goes", "baaA", "a", 1, true},
		{"its share is busy", "AAAb", "a", -1, false},
		{"all taken: who has most gives way", "aaabbc", "d", 0, true},
		{"to one that has less", "aaabbc", "c", 0, true},
		{"of equals the oldest quiet one", "AbaBcc", "d", 1, true},
		{"busy ones last, the youngest first", "AAABBC", "d", 2, true},
		{"busy ones not to equals", "ABCDEF", "g", -1, false},
		{"quiet ones to equals", "ABCdEF", "g", 3, true},
		{"its own quiet one, if it has most itself", "aaBBcC", "a", 0, true},
		{"its own busy one stays", "AABBCC", "a", -1, false},
	} {
		var open []*conn
		for _, c := range tt.open {
			peer := strings.ToLower(string(c))
			open = append(open, &conn{peer: peer, quiet: peer == string(c)})
		}
		victim, ok := place(open, tt.peer, limits)
		at := -1
		for i, c := range open {
			if c == victim {
				at = i
			}
		}
		if at != tt.victim || ok != tt.ok {
			t.Errorf("%s: victim %d, %v; want %d, %v", tt.name, at, ok, tt.victim, tt.ok)
		}
	}
}
