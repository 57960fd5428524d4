// Package backoff computes how long to wait before something that has failed is
// tried again.
//
// A [Backoff] has no state: its user counts the failures in a row, and starts
// again at zero after a success.
//
//	retry := backoff.Backoff{First: time.Second, Max: time.Minute}
//	for failures := 0; ; {
//		if err := try(ctx); err == nil {
//			return nil
//		}
//		failures++
//		if err := backoff.Sleep(ctx, retry.Delay(failures)); err != nil {
//			return err
//		}
//	}
//
// Libraries that count the failures themselves (work queues, reflectors, gRPC)
// get their own kind of back-off.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a delay that doubles with each failure.
type Backoff struct {
	// First is the delay after the first failure, and Max the longest.
	First, Max time.Duration
	// Jitter is the part of a delay that is random, from 0 to 1: with 0.25 a
	// delay has 75 % to 100 % of its length. So clients that failed together do
	// not all try again together.
	Jitter float64
}

// Delay returns how long to wait after so many failures in a row; 0 if there
// was none.
func (b Backoff) Delay(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	d := b.First
	for i := 1; i < failures && d < b.Max; i++ {
		if d > b.Max/2 {
			d = b.Max // twice as much could overflow
			break
		}
		d *= 2
	}
	return Jitter(min(d, b.Max), b.Jitter)
}

// Jitter returns a random time between d-part*d and d; part is from 0 to 1.
func Jitter(d time.Duration, part float64) time.Duration {
	random := time.Duration(float64(d) * part)
	if random <= 0 {
		return d
	}
	return d - rand.N(min(random, d)+1)
}

// Sleep waits for d. If ctx is done before, it returns ctx.Err().
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
