package opcua

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/handlers/schedule"
)

func newSource(t *testing.T) *source {
	return &source{
		url: mustURL(t, "opc.tcp://lds"), details: details.Details{Interval: time.Minute}, rhythm: schedule.Every,
		servers: map[string]*server{},
	}
}

// What a source knows after a number of looks, each of which is noted.
func TestSource(t *testing.T) {
	offers := ua.Endpoints{Modes: []string{"None"}, Server: ua.Application{URI: "urn:n"}}
	stranger := ua.Endpoints{Server: ua.Application{URI: "urn:stranger"}}
	failed := errors.New("failed")
	registered := func(urls ...string) (all []candidate) {
		for _, u := range urls {
			all = append(all, candidate{url: mustURL(t, u), app: &ua.Application{URI: "urn:" + u}})
		}
		return all
	}
	heard := candidate{url: mustURL(t, "opc.tcp://n:1")}
	found := func(network hearing, all ...candidate) ended {
		return ended{looked: looked{candidates: all, network: network}}
	}
	asked := func(key string) ended {
		says := offers
		if key != "opc.tcp://n:1" {
			says.Server.URI = "urn:" + key
		}
		return ended{key: key, offers: says}
	}
	type step struct {
		end     ended
		outcome schedule.Outcome
		news    bool
		servers string // that were asked once
		settled bool
	}
	const same, changed, fault = schedule.Same, schedule.Changed, schedule.Failed
	a, ab := registered("opc.tcp://a:1"), registered("opc.tcp://a:1", "opc.tcp://b:1")
	other := registered("opc.tcp://a:1")
	other[0].app = &ua.Application{URI: "urn:other"}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"nothing there", []step{{found(cannotHear), same, true, "", true}, {found(notAsked), same, false, "", true}}},
		{"a server is told of when it was asked", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{asked("opc.tcp://a:1"), same, false, "a", true}, {found(notAsked, a...), same, false, "a", true}}},
		{"or could not be", []step{
			{found(cannotHear, a...), changed, true, "", false}, {ended{key: "opc.tcp://a:1", err: failed}, fault, true, "a", true},
			{ended{key: "opc.tcp://a:1", err: failed}, fault, false, "a", true}}},
		{"comes and goes", []step{
			{found(cannotHear, ab...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", false},
			{asked("opc.tcp://b:1"), changed, true, "a b", true}, {found(notAsked, a...), changed, true, "a b", true},
			{ended{key: "opc.tcp://b:1", err: failed}, changed, true, "a", true},
			{asked("opc.tcp://b:1"), same, false, "a", true}, {found(notAsked, ab...), changed, true, "a", false}}},
		{"goes before it was asked", []step{
			{found(cannotHear, a...), changed, true, "", false}, {found(notAsked), changed, true, "", true}}},
		{"goes when it does not answer", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{ended{key: "opc.tcp://a:1", err: failed}, fault, true, "a", true}, {found(notAsked), changed, true, "", true}}},
		{"the discovery server has forgotten it", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{found(notAsked), changed, true, "a", true}, {asked("opc.tcp://a:1"), same, false, "a", true},
			{found(notAsked), same, false, "a", true}, {found(notAsked, a...), same, false, "a", true}}},
		{"and another is at its place", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{found(notAsked), changed, true, "a", true}, {ended{key: "opc.tcp://a:1", offers: stranger}, changed, true, "", true}}},
		{"another application at its place", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{found(notAsked, other...), changed, true, "a", true}}},
		{"does not answer any more", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{ended{err: failed}, fault, true, "a", true}, {ended{err: failed}, fault, false, "a", true},
			{ended{err: failed}, fault, true, "a", true}, {ended{key: "opc.tcp://a:1", err: failed}, changed, true, "", true},
			{ended{err: failed}, fault, false, "", true}, {found(notAsked, a...), changed, true, "", false}}},
		{"does not answer any more, and its servers do", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{ended{err: failed}, fault, true, "a", true}, {ended{err: failed}, fault, false, "a", true},
			{ended{err: failed}, fault, true, "a", true}, {asked("opc.tcp://a:1"), same, false, "a", true},
			{ended{err: failed}, fault, false, "a", true}, {found(notAsked, a...), same, true, "a", true}}},
		{"misses a look at times", []step{
			{found(cannotHear, a...), changed, true, "", false}, {asked("opc.tcp://a:1"), changed, true, "a", true},
			{ended{err: failed}, fault, true, "a", true}, {ended{err: failed}, fault, false, "a", true},
			{found(notAsked, a...), same, true, "a", true},
			{ended{err: failed}, fault, true, "a", true}, {ended{err: failed}, fault, false, "a", true}}},
		{"never answers", []step{{ended{err: failed}, fault, true, "", true}, {ended{err: failed}, fault, false, "", true}}},
		{"heard of", []step{
			{found(heardAll, heard), changed, true, "", false}, {asked("opc.tcp://n:1"), changed, true, "n", true},
			{found(heardBadly), same, false, "n", true}, {found(heardBadly), same, false, "n", true},
			{found(heardAll, heard), same, false, "n", true}, {found(heardBadly), same, false, "n", true},
			{found(heardBadly), same, false, "n", true}, {found(heardBadly), changed, true, "n", true},
			{ended{key: "opc.tcp://n:1", err: failed}, changed, true, "", true}}},
		{"heard of no more", []step{
			{found(heardAll, heard), changed, true, "", false}, {asked("opc.tcp://n:1"), changed, true, "n", true},
			{found(heardAll), changed, true, "n", true}, {ended{key: "opc.tcp://n:1", offers: stranger}, changed, true, "", true}}},
		{"heard of by one that now cannot", []step{
			{found(heardAll, heard), changed, true, "", false}, {found(cannotHear), changed, true, "", true}}},
	} {
		s := newSource(t)
		for i, step := range tt.steps {
			outcome, news := s.take(step.end)
			st := s.state()
			var names []string
			for _, v := range st.servers {
				names = append(names, v.url.Host)
			}
			if got := strings.Join(names, " "); outcome != step.outcome || news != step.news || got != step.servers || st.settled != step.settled {
				t.Errorf("%s: step %d: outcome %d, news %v, servers %q, settled %v", tt.name, i, outcome, news, got, st.settled)
			}
		}
	}
}

// What a server has said that it offers stays while it does not answer.
func TestServerKeepsWhatItOffers(t *testing.T) {
	v := &server{candidate: candidate{url: mustURL(t, "opc.tcp://a:1")}}
	v.take(ended{offers: ua.Endpoints{Modes: []string{"Sign"}}})
	v.take(ended{err: errors.New("away")})
	if v.offers == nil || !slices.Equal(v.offers.Modes, []string{"Sign"}) || !strings.Contains(v.problem, "away") {
		t.Errorf("%+v", v)
	}
}

// One that cannot tell of the network is asked for it rarely.
func TestDeaf(t *testing.T) {
	for _, tt := range []struct {
		network hearing
		deaf    bool
	}{{heardAll, false}, {cannotHear, true}, {heardBadly, true}} {
		s := newSource(t)
		s.take(ended{looked: looked{network: tt.network}})
		if deaf := time.Now().Before(s.deafUntil); deaf != tt.deaf {
			t.Errorf("%d: %v", tt.network, deaf)
		}
		until := s.deafUntil
		s.take(ended{looked: looked{network: notAsked}})
		if s.deafUntil != until {
			t.Errorf("%d: longer for each look", tt.network)
		}
	}
}

// One that nobody tells of any more stays for a while only, though it answers.
func TestUnlisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		a := candidate{url: mustURL(t, "opc.tcp://a:1"), app: &ua.Application{URI: "urn:a"}}
		answers := ended{key: "opc.tcp://a:1", offers: ua.Endpoints{Server: ua.Application{URI: "urn:a"}}}
		s.take(ended{looked: looked{candidates: []candidate{a}}})
		s.take(answers)
		began := time.Now()
		for len(s.state().servers) > 0 {
			s.take(ended{})
			s.take(answers)
			time.Sleep(time.Minute)
			if time.Since(began) > time.Hour {
				t.Fatal("it stays for ever")
			}
		}
		if stayed := time.Since(began); stayed < unlistedFor {
			t.Errorf("it stayed for %s", stayed)
		}
	})
}
