package camera

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Who is slow gets the newest picture, and none twice.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Latest
		if _, ok := l.Last(); ok {
			t.Error("there is a picture before there is one")
		}
		got := make(chan Frame)
		go func() {
			var last uint64
			for {
				f, err := l.Next(t.Context(), last)
				if err != nil {
					close(got)
					return
				}
				last = f.Number
				got <- f // as slow as who reads it
			}
		}()
		for i := range 5 {
			synctest.Wait()
			if err := l.Put("c", []byte{byte(i)}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		// The reader has taken the first one, and asks for the next only now.
		for _, want := range []uint64{1, 5} {
			if f := <-got; f.Number != want || f.JPEG[0] != byte(want-1) || f.Camera != "c" {
				t.Errorf("%+v, want number %d", f, want)
			}
		}
		synctest.Wait()
		l.Clear()
		l.Clear()
		if f := <-got; f.Number != 6 || f.JPEG != nil {
			t.Errorf("a camera that is lost: %+v", f)
		}
		synctest.Wait()
		select {
		case f := <-got:
			t.Errorf("lost once more: %+v", f)
		default:
		}
		if _, ok := l.Last(); ok {
			t.Error("there is a picture of a lost camera")
		}
	})
}

func TestLatestLimits(t *testing.T) {
	var l Latest
	for size, ok := range map[int]bool{0: false, 1: true, MaxFrameBytes: true, MaxFrameBytes + 1: false} {
		if err := l.Put("c", make([]byte, size), time.Time{}); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	last, _ := l.Last()
	if _, err := l.Next(ctx, last.Number); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait any longer: %v", err)
	}
}
