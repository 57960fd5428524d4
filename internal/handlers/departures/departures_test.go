package departures

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/discovery"
)

func TestDepartures(t *testing.T) {
	d := New(3 * time.Second)
	t0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		name            string
		at              time.Duration
		listed, leaving string
		departed        string
		again           time.Duration
	}{
		{"all there", 0, "a b c d", "", "", 0},
		{"two say good-bye", time.Second, "a b c d", "a b", "", 0},
		{"they are gone, and one without a word", 2 * time.Second, "d", "", "", 3 * time.Second},
		{"the good-bye of one was another's", 3 * time.Second, "b d", "", "", 2 * time.Second},
		{"the other's is certain", 5 * time.Second, "b d", "", "a", 0},
		{"for a while", 64 * time.Second, "b d", "", "a", 0},
		{"and no longer", 65 * time.Second, "b d", "", "", 0},
		{"the next one goes", 70 * time.Second, "b d", "d", "", 0},
		{"it is gone", 71 * time.Second, "b", "", "", 3 * time.Second},
		{"certain", 74 * time.Second, "b", "", "d", 0},
		{"and back", 75 * time.Second, "b d", "", "", 0},
		{"one says good-bye and is gone with that", 80 * time.Second, "b", "d", "", 3 * time.Second},
		{"it takes it back", 81 * time.Second, "b", "-d", "", 0},
		{"and is not certain later", 84 * time.Second, "b", "", "", 0},
	} {
		var list []discovery.Device
		for _, id := range strings.Fields(step.listed) {
			list = append(list, discovery.Device{ID: id})
		}
		leaving := map[string]bool{}
		for _, id := range strings.Fields(step.leaving) {
			if id, stays := strings.CutPrefix(id, "-"); stays {
				d.Stays(id)
			} else {
				leaving[id] = true
			}
		}
		departed, again := d.Take(list, leaving, t0.Add(step.at))
		if !slices.Equal(departed, strings.Fields(step.departed)) || again != step.again {
			t.Errorf("%s: departed %q, again after %s; want %q, %s", step.name, departed, again, step.departed, step.again)
		}
	}
}

// A flood of services that come and go is remembered in part.
func TestManyDepartures(t *testing.T) {
	d := New(3 * time.Second)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for n := range 10 {
		leaving := map[string]bool{}
		for i := range maxGone / 2 {
			leaving[strings.Repeat("x", n+1)+string(rune('a'+i))] = true
		}
		d.Take(nil, leaving, now)
	}
	if len(d.gone) != maxGone {
		t.Errorf("%d are remembered", len(d.gone))
	}
}
