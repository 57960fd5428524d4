package announced

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Which devices that are gone have said so, and which have only fallen silent or
// are said to.
func TestLeft(t *testing.T) {
	four := "homie/a/$homie=4.0 homie/a/$state=ready "
	five := `homie/5/a/$description={"homie":"5.0"} homie/5/a/$state=ready `
	child := five + `homie/5/c/$description={"homie":"5.0","root":"a"} homie/5/c/$state=ready `
	hass := `homeassistant/l/a/config={"dev":{"ids":"a"}} homeassistant/l/b/config={"dev":{"ids":"a"},"avty_t":"t"} `
	for told, want := range map[string]string{
		four + "homie/a/$state=disconnected":                         "homie/a",
		four + "homie/a/$state=":                                     "homie/a",
		four + "homie/a/$homie=":                                     "homie/a",
		four + "homie/a/$state=lost":                                 "",
		four + "homie/a/$state=lost homie/a/$state=":                 "", // it was not there
		four + "homie/a/$state=disconnected homie/a/$state=lost":     "homie/a",
		four + "homie/a/$state=disconnected homie/a/$state=init":     "",
		four + "homie/a/$state=disconnected homie/a/$state=ready":    "",
		four + "homie/a/$state=happy":                                "",
		four + "homie/a/$state=disconnected homie/a/$name=x":         "homie/a",
		"homie/a/$homie=4.0 homie/a/$state=disconnected":             "", // it never was
		five + "homie/5/a/$description=":                             "homie/a",
		five + "homie/5/a/$description=7":                            "",
		five + "homie/5/a/$state=disconnected":                       "homie/a",
		child + "homie/5/a/$state=lost":                              "",
		child + "homie/5/c/$state=disconnected":                      "homie/c",
		hass + "homeassistant/l/b/config=":                           "", // the other is there
		hass + "homeassistant/l/a/config=":                           "", // the other is not available
		hass + "homeassistant/l/a/config= homeassistant/l/b/config=": "homeassistant/a",
		hass + "t=offline homeassistant/l/a/config={":                "",
		"!s/x/state=1 !s/x/state=":                                   "s/x/state",
		"!s/x/state=1 !s/x/state= !s/x/state=2":                      "",
		"!s/x/state=":                                                "",
		"!q/x/a=1 !q/x/b=":                                           "", // one of its topics
	} {
		b, _ := newBook(t, everything)
		all := []string{"homie/a", "homie/c", "homeassistant/a", "s/x/state", "q/x/#"}
		for _, m := range strings.Fields(told) {
			tell(b, m, t0)
		}
		there := strings.Fields(ids(b))
		var got []string
		for id := range b.Left(all, t0) {
			if !slices.Contains(there, id) {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", told, got, want)
		}
		b.Connected(0)
		b.Sweep()
		if len(b.Left(all, t0.Add(leftFor))) > 0 {
			t.Errorf("%s: it still counts after %s", told, leftFor)
		}
	}
}

// A flood of good-byes is remembered in part, and for some time.
func TestManyLeft(t *testing.T) {
	b, _ := newBook(t, everything)
	flood := func(now time.Time) {
		for i := range 2 * maxLeft {
			for _, m := range []string{"$homie=4.0", "$state=ready", "$state=disconnected"} {
				tell(b, fmt.Sprintf("homie/%d/%s", i, m), now)
			}
		}
	}
	flood(t0)
	goes := func(id string, now time.Time) bool {
		for _, m := range []string{"$homie=4.0", "$state=ready", "$state=disconnected"} {
			tell(b, "homie/"+id+"/"+m, now)
		}
		return b.Left([]string{"homie/" + id}, now)["homie/"+id]
	}
	if len(b.left) != maxLeft || goes("a", t0) {
		t.Errorf("%d are remembered", len(b.left))
	}
	if !goes("b", t0.Add(leftFor)) {
		t.Error("those of the flood keep another out")
	}
}
