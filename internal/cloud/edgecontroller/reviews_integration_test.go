//go:build integration

package edgecontroller

import (
	"testing"
	"time"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/grant"
)

// TestReviews has nodes connect that follow the same, one after the other: the API
// server is asked for the first one alone.
func TestReviews(t *testing.T) {
	c := run(t, shared.Start(t).Config, Options{grants: grant.Options{TTL: time.Hour}})
	var first int64
	for _, node := range []string{"n1", "n2", "n3"} {
		e := connect(t, c, node)
		for _, i := range kubelets(node) {
			e.granted(i)
		}
		asked, refused := c.grants.Stats()
		if refused > 0 || asked == 0 {
			t.Fatalf("%d questions, %d refusals", asked, refused)
		}
		if first == 0 {
			first = asked
		}
		if asked != first {
			t.Errorf("with %s it was asked %d times, with the first node %d", node, asked, first)
		}
	}
}
