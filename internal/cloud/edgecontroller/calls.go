package edgecontroller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/writer"
)

const (
	// maxWaiting and maxWaitingBytes bound the calls of a session that wait for
	// those before them. Further ones are answered with 429, and those that come
	// although so many of these wait are not answered.
	maxWaiting      = 256
	maxWaitingBytes = 8 << 20
)

// calls are a session's calls.
type calls struct {
	s *Session

	mu      sync.Mutex
	waiting []*call
	bytes   int // of the bodies of those
	workers int
	open    map[uint64]*call // that wait or are being made
}

// call is one call.
type call struct {
	edgev1.Call
	ctx    context.Context
	cancel context.CancelFunc
	at     time.Time
	refuse *edgev1.Reply // it is not made
}

// add takes a call.
func (c *calls) add(m *edgev1.Call) {
	n := &call{Call: *m, at: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.waiting) >= 2*maxWaiting:
		c.s.c.metrics.dropped.Inc()
		return
	case c.open[m.ID] != nil:
		n.refuse = writer.Failure(m.ID, http.StatusBadRequest, metav1.StatusReasonBadRequest,
			"this session has another call with this id")
	case len(c.waiting) >= maxWaiting || c.bytes+len(m.Body) > maxWaitingBytes && c.bytes > 0:
		n.refuse = writer.Failure(m.ID, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
			"too many calls of this node wait")
	default:
		if c.open == nil {
			c.open = map[uint64]*call{}
		}
		c.open[m.ID] = n
		n.ctx, n.cancel = context.WithCancel(c.s.ctx)
	}
	if n.refuse != nil {
		n.Body = nil
	}
	c.bytes += len(n.Body)
	c.waiting = append(c.waiting, n)
	c.s.c.metrics.waiting.Inc()
	if c.workers < maxCallsPerNode {
		c.workers++
		go c.work()
	}
}

// cancel ends a call that nobody waits for any more.
func (c *calls) cancel(id uint64) {
	c.mu.Lock()
	n := c.open[id]
	c.mu.Unlock()
	if n != nil {
		n.cancel()
	}
}

// work makes calls as long as some wait.
func (c *calls) work() {
	for {
		c.mu.Lock()
		if len(c.waiting) == 0 {
			c.workers--
			if c.workers == 0 {
				c.waiting = nil // give the memory back
			}
			c.mu.Unlock()
			return
		}
		n := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.bytes -= len(n.Body)
		c.mu.Unlock()
		c.s.c.metrics.waiting.Dec()
		reply := n.refuse
		if reply == nil {
			reply = c.make(n)
			c.mu.Lock()
			delete(c.open, n.ID)
			c.mu.Unlock()
			n.cancel()
		}
		if reply != nil {
			c.s.c.metrics.calls.WithLabelValues(strconv.Itoa(reply.Status)).Inc()
			c.s.send(reply)
		}
	}
}

// make makes a call. Nil: nobody waits for the reply.
func (c *calls) make(n *call) *edgev1.Reply {
	if c.s.c.callRoom.Acquire(n.ctx, 1) != nil {
		return nil
	}
	defer c.s.c.callRoom.Release(1)
	c.s.c.metrics.callWait.Observe(time.Since(n.at).Seconds())
	as, err := c.s.c.userOf(c.s.node, n.As)
	if err != nil {
		return refusal(n.ID, err)
	}
	began := time.Now()
	reply := writer.Do(n.ctx, c.s.c.Client, as, &n.Call)
	c.s.c.metrics.callTime.Observe(time.Since(began).Seconds())
	if n.ctx.Err() != nil {
		return nil
	}
	return reply
}

// refusal is the reply to a call that may not be made, or not yet.
func refusal(id uint64, err error) *edgev1.Reply {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		s := status.Status()
		return writer.Failure(id, int(s.Code), s.Reason, s.Message)
	}
	return writer.Failure(id, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
		fmt.Sprintf("cloudcore: %v", err))
}
