package registry

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/akri-go/akri/discovery"
)

// A handler that says something else all the time, fails, and comes back with
// another setting, has few lines logged; another handler's are not missing.
func TestLogOfAHandlerThatDoesAllItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t)
		var log bytes.Buffer
		r.log = slog.New(slog.NewTextHandler(&log, nil))
		f := r.endpoint("h", "/h", false)
		r.Ask(requestOf("c", "h", "x"))
		c, _ := r.next(f)
		for i := range 1000 {
			c.on(list{devices: []discovery.Device{{ID: "a"}}, refused: fmt.Errorf("device b%d: no", i)}, nil)
		}
		for i := range 1000 {
			c.on(list{}, fmt.Errorf("the report lists %d devices", 10_000+i))
		}
		c.end <- errors.New("broken")
		for i := range 1000 {
			if err := r.again("h", "/h", i%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(log.String(), "\n"); n > 60 {
			t.Errorf("%d lines are logged", n)
		}
		log.Reset()
		r.endpoint("other", "/other", false)
		if !strings.Contains(log.String(), "endpoint=/other") {
			t.Errorf("another handler is not told of: %s", &log)
		}
	})
}
