package modbus

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/modbus/adu"
	"github.com/akri-go/akri/internal/handlers/modbus/details"
)

const (
	// lookTimeout is for how long a server is asked in one look; units that had no
	// turn come first in the next.
	lookTimeout = time.Minute
	// searchTime is how much of it is for units that are not there.
	searchTime = 5 * time.Second
	// maxConnects is how often a server is connected to in one look, if it hangs up.
	maxConnects = 8
	// maxConversations is how many servers are asked at once, and maxOfRequest how
	// many of them for one Configuration. So up to maxOfRequest servers hold up none
	// of the same Configuration, whatever they do, and none of another.
	maxConversations = 256
	maxOfRequest     = 128
)

// asker asks servers. Several goroutines may use it.
type asker struct {
	network address.Network
	// places are for conversations, by Configurations; servers has one place for each
	// server, since many take few connections and serve them one by one.
	places, servers *bounded.Gate
	search          time.Duration // see searchTime
}

func newAsker(n address.Network) *asker {
	return &asker{
		network: n, search: searchTime,
		places: bounded.NewGate(maxConversations, maxOfRequest), servers: bounded.NewGate(math.MaxInt, 1),
	}
}

// look asks a server for its units. request names the Configuration's request. The
// server is connected to when the look begins, and left when it ends: between
// looks others have its connections.
func (a *asker) look(ctx context.Context, request string, s server, d details.Details) looked {
	for _, place := range []struct {
		gate *bounded.Gate
		peer string
	}{{a.servers, s.Address()}, {a.places, request}} {
		leave, err := place.gate.Enter(ctx, place.peer)
		if err != nil {
			return looked{err: err} // ctx is done
		}
		defer leave()
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	v := &visit{asker: a, server: s, details: d}
	defer v.leave()
	result := looked{answers: map[int]answer{}}
	var searched time.Duration // for units that are not there
	for _, i := range s.order() {
		u := s.units[i]
		if !u.there && searched >= a.search {
			continue
		}
		began := time.Now()
		answer, err := v.ask(ctx, u)
		if !u.there {
			searched += time.Since(began)
		}
		if err != nil {
			result.err = err
			break
		}
		if ctx.Err() != nil {
			break // it is not the unit's fault
		}
		result.answers[i] = answer
	}
	if len(result.answers) == 0 && result.err == nil {
		result.err = context.Cause(ctx)
	}
	return result
}

// visit is a look that is under way.
type visit struct {
	asker    *asker
	server   server
	details  details.Details
	connects int
	talk     *conversation // nil if there is none
	stop     func() bool
}

// connect connects if there is no connection. An error says that the server cannot
// be reached.
func (v *visit) connect(ctx context.Context) error {
	if v.talk != nil {
		return nil
	}
	if v.connects++; v.connects > maxConnects {
		return errHungUp
	}
	if v.connects > 1 && !pause(ctx, v.details.Gap) {
		return ctx.Err()
	}
	judge := address.Named(v.server.Host, "the Configuration")
	conn, _, err := v.asker.network.Connect(ctx, v.server.Host, v.server.Port, judge)
	if err != nil {
		return err
	}
	v.talk = &conversation{conn: conn, timeout: v.details.Timeout, gap: v.details.Gap}
	v.stop = context.AfterFunc(ctx, func() { conn.Close() })
	return nil
}

func (v *visit) leave() {
	if v.talk != nil {
		v.stop()
		v.talk.conn.Close()
		v.talk = nil
	}
}

// request sends a PDU to a unit, and returns the answer's. lost says that the
// server cannot be reached any more.
//
// A server may hang up after each answer. So if it does on a connection on which it
// has answered, it is asked once more, on another.
func (v *visit) request(ctx context.Context, unit byte, pdu []byte) (answer []byte, err, lost error) {
	for {
		if err := v.connect(ctx); err != nil {
			return nil, nil, err
		}
		answer, err = v.talk.ask(ctx, unit, pdu)
		again := v.talk.answered && errors.Is(err, errHungUp)
		if v.talk.broken {
			v.leave()
		}
		if !again || ctx.Err() != nil {
			return answer, err, nil
		}
	}
}

// ask finds out whether a unit is there, and what it says of itself. An error says
// that the server cannot be reached.
func (v *visit) ask(ctx context.Context, u unit) (answer, error) {
	var a answer
	q := u.question()
	if !q.probeFirst {
		err, lost := v.identify(ctx, u.id, &a)
		if done := a.there || a.err != nil || silent(err) && !q.both; lost != nil || done {
			if a.err == nil && !a.there {
				a.err = err
			}
			a.at = time.Now()
			return a, lost
		}
	}
	lost := v.probe(ctx, u.id, &a)
	if lost == nil && a.there && q.probeFirst && q.both {
		_, lost = v.identify(ctx, u.id, &a)
	}
	a.at = time.Now()
	return a, lost
}

// identify asks a unit for its identification. err says why there is none.
func (v *visit) identify(ctx context.Context, unit byte, a *answer) (err, lost error) {
	a.tried = true
	var private byte
	if v.details.Identity >= details.FirstPrivate {
		private = byte(v.details.Identity)
	}
	reading := adu.Identify(private)
	for reading.Request() != nil {
		pdu, err, lost := v.request(ctx, unit, reading.Request())
		if err == nil && lost == nil {
			err = reading.Take(pdu)
		}
		if err != nil || lost != nil {
			a.note(err)
			return err, lost
		}
	}
	found := reading.Found()
	a.there, a.identification = true, &found
	return nil, nil
}

// note notes what the error with which an identification was answered says of the
// unit.
func (a *answer) note(err error) {
	var e adu.Exception
	switch {
	case !errors.As(err, &e), a.there:
	case e.NoPath():
		a.err = err
	case e.Busy():
		a.there, a.busy, a.exception = true, true, e
	default:
		a.refused = e == adu.IllegalFunction
	}
}

// probe reads of a unit what the Configuration says. Any answer shows that it is
// there, but a gateway's that it is not.
func (v *visit) probe(ctx context.Context, unit byte, a *answer) (lost error) {
	a.probed = true
	p := v.details.Probe
	request := adu.Read(p.Function, p.Address, p.Count)
	pdu, err, lost := v.request(ctx, unit, request)
	if err == nil && lost == nil {
		err = adu.CheckRead(request, pdu)
	}
	var e adu.Exception
	switch {
	case lost != nil:
	case err == nil:
		a.there = true
	case errors.As(err, &e) && !e.OfGateway():
		a.there, a.exception = true, e
	default:
		a.err = err
	}
	return lost
}

// silent tells whether an error says that a unit, or the gateway for it, has not
// answered. Whatever else it says, it has.
func silent(err error) bool {
	var e adu.Exception
	return errors.Is(err, errSilent) || errors.Is(err, errHungUp) || errors.As(err, &e) && e.OfGateway()
}
