package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
)

func entry(seq uint64, kind, name string, bytes int) store.Entry {
	return store.Entry{Seq: seq, Kind: kind, Key: store.Key{Name: name}, Call: edgev1.Call{Body: make([]byte, bytes)}}
}

// many are entries of a kind, from 1 on.
func many(n int, kind string, bytes int) (all []store.Entry) {
	for i := range n {
		all = append(all, entry(uint64(i+1), kind, fmt.Sprint(kind, i+1), bytes))
	}
	return all
}

// of are entries of a service account, numbered after others.
func of(account string, after int, entries ...store.Entry) []store.Entry {
	for i := range entries {
		entries[i].Call.As.ServiceAccount = account
		entries[i].Seq += uint64(after)
	}
	return entries
}

func TestRoom(t *testing.T) {
	pods := func(account string) store.Entry { return of(account, 0, entry(0, Event, "event7", 10))[0] }
	for name, c := range map[string]struct {
		have []store.Entry
		e    store.Entry
		drop []uint64
		err  string
	}{
		"the first":                           {nil, entry(0, Event, "e", 10), nil, ""},
		"one too many":                        {many(maxEvents, Event, 10), entry(0, Event, "e", 10), []uint64{1}, ""},
		"one that replaces":                   {many(maxEvents, Event, 10), entry(0, Event, "event7", 10), nil, ""},
		"too many bytes":                      {many(70, Event, 15<<10), entry(0, Event, "e", 15<<10), []uint64{1, 2, 3}, ""},
		"too long":                            {nil, entry(0, Event, "e", MaxEventBytes+1), nil, "at most"},
		"deletions are no Events":             {many(maxOthers, Delete, 10), entry(0, Event, "e", 10), nil, ""},
		"Events are no deletions":             {many(maxEvents, Event, 10), entry(0, Delete, "p", 10), nil, ""},
		"too many deletions":                  {many(maxOthers, Delete, 10), entry(0, Delete, "p", 10), nil, store.ErrFull.Error()},
		"too many, but it replaces":           {many(maxOthers, Delete, 10), entry(0, Delete, "delete3", 10), nil, ""},
		"deletions of too many bytes":         {many(8, Delete, 1<<20), entry(0, Delete, "p", 10), nil, store.ErrFull.Error()},
		"another kind of one key is kept":     {many(1, Delete, 10), entry(0, "apply", "delete1", 10), nil, ""},
		"a Pod's beside many of the node":     {many(maxEvents, Event, 10), pods("a/b"), nil, ""},
		"the node's beside many of Pods":      {of("a/b", 0, many(maxEvents, Event, 10)...), entry(0, Event, "e", 10), nil, ""},
		"a Pod's replaces its own":            {of("a/b", 0, many(maxAccountEvents, Event, 10)...), pods("a/b"), nil, ""},
		"one account has too many":            {slices.Concat(many(9, Event, 10), of("a/b", 9, many(maxAccountEvents, Event, 10)...)), of("a/b", 0, entry(0, Event, "e", 10))[0], []uint64{10}, ""},
		"one account has too many bytes":      {of("a/b", 0, many(16, Event, 16<<10)...), of("a/b", 0, entry(0, Event, "e", 10))[0], []uint64{1}, ""},
		"all accounts have too many":          {slices.Concat(of("a/b", 0, many(maxAccountEvents, Event, 10)...), of("a/c", 50, many(maxAccountEvents, Event, 10)...)), pods("a/d"), []uint64{1}, ""},
		"one goes for both shares":            {slices.Concat(of("a/b", 0, many(maxAccountEvents, Event, 10)...), of("a/c", 50, many(maxAccountEvents, Event, 10)...)), of("a/b", 0, entry(0, Event, "e", 10))[0], []uint64{1}, ""},
		"deletions of as many bytes as fit":   {many(7, Delete, 1<<20), entry(0, Delete, "p", 1<<20), nil, ""},
		"an Event with the key of a deletion": {many(1, Delete, 10), entry(0, Event, "delete1", 10), nil, ""},
	} {
		drop, err := room(c.have, c.e)
		if !slices.Equal(drop, c.drop) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: drops %v, %v; want %v, %q", name, drop, err, c.drop, c.err)
		}
	}
}

// gone is a pass with a server that is away until then; these keys have failed one
// after another.
func gone(until time.Time, keys ...string) pass {
	p := newPass()
	for i := range awayAfter {
		p.failing[store.Key{Name: fmt.Sprint("gone", i)}] = true
	}
	p.away = failure{times: 1, until: until, server: true}
	for i, name := range keys {
		p.failed[store.Key{Name: name}] = failure{times: 1, until: time.Unix(int64(2000+i), 0), server: true}
	}
	return *p
}

func busy(p pass, name string) pass {
	p.busy[store.Key{Name: name}] = true
	return p
}

func TestFail(t *testing.T) {
	now := time.Unix(1000, 0)
	retry := backoff.Backoff{First: time.Second, Max: time.Minute}
	key := func(name string) store.Key { return store.Key{Name: name} }
	p := newPass()
	fail := func(name string, server bool, asked, want time.Duration) {
		t.Helper()
		if got := p.fail(key(name), server, asked, retry, now); got != want {
			t.Errorf("%s waits %s, want %s", name, got, want)
		}
	}
	// One key, and failures of keys' own, keep nobody else waiting.
	fail("a", true, 0, time.Second)
	fail("a", true, 0, 2*time.Second)
	fail("b", true, 5*time.Second, 5*time.Second)
	fail("c", false, 0, time.Second)
	fail("d", false, time.Hour, time.Minute)
	if p.isAway() {
		t.Error("two keys that fail are no server that is away")
	}
	p.answered(key("x"))
	fail("e", true, 0, time.Second)
	fail("f", true, 0, time.Second)
	if p.isAway() {
		t.Error("the server has answered meanwhile")
	}
	// Three are; then there is one delay for all.
	fail("g", true, 0, time.Second)
	fail("h", true, 0, 2*time.Second)
	fail("e", true, 30*time.Second, 30*time.Second)
	if !p.isAway() || p.away.times != 3 {
		t.Errorf("%+v", p.away)
	}
	// When it is back, only keys' own failures count.
	p.answered(key("h"))
	if p.isAway() || p.away != (failure{}) || len(p.failed) != 2 || p.failed[key("c")].times != 1 || p.failed[key("d")].times != 1 {
		t.Errorf("%+v", p)
	}
}

func TestNext(t *testing.T) {
	now := time.Unix(1000, 0)
	key := func(name string) store.Key { return store.Key{Name: name} }
	fill := func(n int) map[store.Key]bool {
		m := map[store.Key]bool{}
		for i := range n {
			m[key(fmt.Sprint("busy", i))] = true
		}
		return m
	}
	two := []store.Entry{entry(1, Event, "e", 1), entry(2, Delete, "a", 1), entry(3, "apply", "a", 1), entry(4, Delete, "b", 1)}
	for name, c := range map[string]struct {
		entries []store.Entry
		p       pass
		start   []uint64
		wait    time.Duration
		others  bool
	}{
		"nothing":                     {nil, pass{}, nil, 0, false},
		"keys beside each other":      {two, pass{}, []uint64{2, 4}, 0, true},
		"one after another":           {two[1:3], pass{busy: map[store.Key]bool{key("a"): true}}, nil, 0, true},
		"Events last":                 {two[:1], pass{}, []uint64{1}, 0, false},
		"Events, while others wait":   {two, pass{failed: map[store.Key]failure{key("a"): {times: 1, until: now.Add(time.Minute)}, key("b"): {times: 1, until: now.Add(time.Second)}}}, []uint64{1}, time.Second, false},
		"one waits, the other is due": {two, pass{failed: map[store.Key]failure{key("a"): {times: 1, until: now.Add(time.Minute)}, key("b"): {times: 1, until: now}}}, []uint64{4}, time.Minute, true},
		"an Event is being made":      {two[:1], pass{busy: map[store.Key]bool{key("e"): true}}, nil, 0, false},
		"as many as may be":           {many(20, Delete, 1), pass{busy: fill(parallel - 2)}, []uint64{1, 2}, 0, true},
		"away":                        {two, gone(now.Add(time.Second)), nil, time.Second, false},
		"away, time to try again":     {two, gone(now), []uint64{1}, 0, false},
		"away, the oldest failure":    {two, gone(now, "e", "a"), []uint64{4}, 0, false},
		"away, each has failed":       {two, gone(now, "b", "e", "a"), []uint64{4}, 0, false},
		"away, one is being tried":    {two, busy(gone(now), "b"), nil, 0, true},
		"away, an Event is tried":     {two, busy(gone(now), "e"), nil, 0, false},
		"away, nothing waits":         {nil, gone(now.Add(time.Second)), nil, 0, false},
		"no room":                     {many(20, Delete, 1), pass{busy: fill(parallel)}, nil, 0, true},
	} {
		start, wait, others := c.p.next(c.entries, now)
		var seqs []uint64
		for _, e := range start {
			seqs = append(seqs, e.Seq)
		}
		if !slices.Equal(seqs, c.start) || wait != c.wait || others != c.others {
			t.Errorf("%s: starts %v, waits %s, others %v; want %v, %s, %v", name, seqs, wait, others, c.start, c.wait, c.others)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		kind     string
		status   int
		err      error
		failures int
		want     outcome
	}{
		{Delete, 200, nil, 0, made},
		{Delete, 404, nil, 0, made},
		{Delete, 409, nil, 0, made},
		{Delete, 422, nil, 0, refused},
		{Delete, 0, errors.New("cut"), 0, away},
		{Delete, 500, nil, 100, away},
		{Delete, 429, nil, 0, away},
		{Delete, 408, nil, 0, away},
		{Delete, 403, nil, 0, later},
		{Delete, 403, nil, believedAfter - 1, refused},
		{Delete, 401, nil, 1, later},
		{Delete, 301, nil, 0, refused},
		{Event, 201, nil, 0, made},
		{Event, 409, nil, 0, made},
		{Event, 404, nil, 0, refused}, // its namespace is gone
		{Event, 403, nil, 0, refused},
		{Event, 503, nil, 0, away},
		{"apply", 409, nil, 0, refused},
	} {
		if got := judge(c.kind, c.status, c.err, c.failures); got != c.want {
			t.Errorf("%s, %d, %v, %d failures: %d, want %d", c.kind, c.status, c.err, c.failures, got, c.want)
		}
	}
}
