package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/akri-go/akri/internal/handlers/modbus/adu"
)

// conversation is a connection to a server, with one request at a time.
type conversation struct {
	conn         net.Conn
	timeout, gap time.Duration
	transaction  uint16
	last         time.Time // when the last request ended
	answered     bool      // a request
	broken       bool      // nothing more can be asked
}

// maxStrays is how many answers to earlier requests, which were given up, are
// passed over while one is awaited.
const maxStrays = 8

// ask sends a PDU to a unit and returns the PDU of the answer. It ends when ctx is
// done, if that closes the connection.
func (c *conversation) ask(ctx context.Context, unit byte, pdu []byte) ([]byte, error) {
	if !pause(ctx, time.Until(c.last.Add(c.gap))) {
		c.broken = true
		return nil, ctx.Err()
	}
	defer func() { c.last = time.Now() }()
	c.transaction++
	// An error here is of a connection that is closed, which the next call tells.
	_ = c.conn.SetDeadline(time.Now().Add(c.timeout))
	if _, err := c.conn.Write(adu.Append(nil, c.transaction, unit, pdu)); err != nil {
		c.broken = true
		return nil, because(err)
	}
	for range maxStrays {
		h, answer, err := c.read()
		switch {
		case err != nil:
			return nil, err
		case h.Transaction != c.transaction:
			continue
		// Gateways may say themselves that a unit is not there.
		case h.Unit != unit && len(answer) > 0 && answer[0]&0x80 == 0:
			return nil, fmt.Errorf("unit %d was asked, and the answer is unit %d's", unit, h.Unit)
		}
		c.answered = true
		return answer, nil
	}
	c.broken = true
	return nil, fmt.Errorf("%w: it answers what was not asked (transaction ids)", adu.ErrNotModbus)
}

// read reads one ADU.
func (c *conversation) read() (adu.Header, []byte, error) {
	var b [adu.HeaderBytes + adu.MaxPDUBytes]byte
	n, err := io.ReadFull(c.conn, b[:adu.HeaderBytes])
	if err != nil {
		var timeout net.Error
		// After a silence one can go on, but not after half an answer.
		c.broken = n > 0 || !errors.As(err, &timeout) || !timeout.Timeout()
		return adu.Header{}, nil, because(err)
	}
	h, err := adu.ParseHeader(b[:adu.HeaderBytes])
	if err != nil {
		c.broken = true
		return h, nil, err
	}
	pdu := b[adu.HeaderBytes:][:h.PDUBytes]
	if _, err = io.ReadFull(c.conn, pdu); err != nil {
		c.broken = true
		return h, nil, because(err)
	}
	return h, pdu, nil
}

// because returns why nothing came.
func because(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return errSilent
	}
	return errHungUp
}

// pause waits, and tells whether ctx is not done.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
