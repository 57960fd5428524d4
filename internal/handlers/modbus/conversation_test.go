package modbus

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/akri-go/akri/internal/handlers/modbus/adu"
)

// serve answers each request on a connection with what answer returns.
func serve(c net.Conn, answer func(n int, request []byte) []byte) {
	for n := 0; ; n++ {
		b := make([]byte, adu.HeaderBytes)
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		b = append(b, make([]byte, int(b[5])-1)...)
		if _, err := io.ReadFull(c, b[adu.HeaderBytes:]); err != nil {
			return
		}
		if _, err := c.Write(answer(n, b)); err != nil {
			return
		}
	}
}

// value is the answer to a request for a register.
func value(request []byte) []byte {
	return append(append([]byte{}, request[0], request[1], 0, 0, 0, 5, request[6]), 3, 2, 0, 7)
}

// Between an answer and the next request there is a gap.
func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var asked []time.Duration
		began := time.Now()
		go serve(theirs, func(_ int, request []byte) []byte {
			asked = append(asked, time.Since(began))
			time.Sleep(100 * time.Millisecond) // the bubble's time
			return value(request)
		})
		c := &conversation{conn: ours, timeout: time.Second, gap: 30 * time.Millisecond}
		for range 3 {
			if pdu, err := c.ask(t.Context(), 1, adu.Read(3, 0, 1)); err != nil || len(pdu) != 4 {
				t.Errorf("%v, %v", pdu, err)
			}
		}
		ours.Close()
		synctest.Wait()
		for i, at := range asked {
			if want := time.Duration(i) * 130 * time.Millisecond; at != want {
				t.Errorf("request %d after %s, want %s", i, at, want)
			}
		}
	})
}

// An answer that comes too late is not taken for the next one's.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var late []byte
		go serve(theirs, func(n int, request []byte) []byte {
			if n == 0 {
				late = append(value(request)[:9:9], 0, 66)
				return nil
			}
			return append(late, value(request)...)
		})
		c := &conversation{conn: ours, timeout: time.Second}
		if _, err := c.ask(t.Context(), 1, adu.Read(3, 0, 1)); !errors.Is(err, errSilent) || c.broken {
			t.Errorf("%v, broken %v", err, c.broken)
		}
		pdu, err := c.ask(t.Context(), 1, adu.Read(3, 0, 1))
		if err != nil || pdu[3] != 7 {
			t.Errorf("%v, %v", pdu, err)
		}
		ours.Close()
	})
}

// After half an answer nothing more can be understood.
func TestHalf(t *testing.T) {
	for _, n := range []int{1, 6, 7, 10} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go serve(theirs, func(_ int, request []byte) []byte { return value(request)[:n] })
			c := &conversation{conn: ours, timeout: time.Second}
			if _, err := c.ask(t.Context(), 1, adu.Read(3, 0, 1)); !errors.Is(err, errSilent) || !c.broken {
				t.Errorf("%d bytes: %v, broken %v", n, err, c.broken)
			}
			ours.Close()
		})
	}
}
