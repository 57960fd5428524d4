package opcua

import (
	"fmt"
	"reflect"
	"time"

	"github.com/akri-go/akri/internal/handlers/address"
	"github.com/akri-go/akri/internal/handlers/opcua/details"
	"github.com/akri-go/akri/internal/handlers/opcua/ua"
	"github.com/akri-go/akri/internal/handlers/schedule"
	"github.com/akri-go/akri/internal/shorten"
)

// server is a server that the source tells of.
type server struct {
	candidate
	asked   bool // at least once
	offers  *ua.Endpoints
	problem string // of the last time that it was asked
	// unlisted is since when it stays only because it answers; zero if it is told
	// of.
	unlisted time.Time
}

// same tells whether a server that says what it is can be this one.
func (v *server) same(says ua.Application) bool {
	was := v.offers.Server
	if v.app != nil {
		was = *v.app
	}
	return was.URI == "" || was.URI == says.URI
}

// take notes what a server says that it offers, and tells whether that is news.
// What it has said stays when it does not answer.
func (v *server) take(e ended) (outcome schedule.Outcome, news bool) {
	e.offers.Server.DiscoveryURLs = nil // where it is is known, and a flood of them would fill the memory
	if v.app != nil {
		e.offers.Server = ua.Application{} // which is known, and would only take memory
	}
	first, problem := !v.asked, v.problem
	v.asked, v.problem = true, ""
	switch {
	case e.err != nil:
		v.problem = explain(v.url, e.err)
		outcome = schedule.Failed
	case v.offers == nil || !reflect.DeepEqual(*v.offers, e.offers):
		v.offers = &e.offers
		outcome = schedule.Changed
	}
	return outcome, first || outcome == schedule.Changed || v.problem != problem
}

// explain says what went wrong at a URL and what can be done.
func explain(u details.URL, err error) string {
	text := shorten.Text(err.Error(), 160)
	if known := address.Explain(err, "an OPC UA server"); known != "" {
		text = known
	}
	return fmt.Sprintf("%s: %s", shorten.Text(u.Text(), 100), text)
}
