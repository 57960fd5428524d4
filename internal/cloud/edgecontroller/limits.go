package edgecontroller

import (
	"context"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/limits"
	"github.com/akri-go/akri/internal/logging"
)

// limitsInterval is how often it is looked at whether the API server limits edge
// nodes: it may be restarted with other flags. Without an answer it is looked at
// again as limitsAgain says.
const limitsInterval = 10 * time.Minute

var limitsAgain = backoff.Backoff{First: time.Second, Max: time.Minute, Jitter: 0.5}

// watchLimits tells when the API server does not hold edge nodes to what is
// theirs. Nodes are served all the same: such an API server holds nobody to
// anything, and its administrator may want that.
func (c *Controller) watchLimits(ctx context.Context) error {
	missing := logging.Problem{What: "EDGE NODES ARE NOT LIMITED: the API server lets them have what is not theirs"}
	for failures := 0; ; {
		l, err := limits.Ask(ctx, c.Client)
		delay := limitsInterval
		if err != nil {
			failures++
			delay = limitsAgain.Delay(failures)
			c.Log.Debug("cannot ask whether the API server limits edge nodes", "error", err)
		} else {
			failures = 0
			c.limited.Store(l.Missing() == nil)
			missing.Is(c.Log, l.Missing())
		}
		if backoff.Sleep(ctx, delay) != nil {
			return nil
		}
	}
}
