package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// maxLineBytes is how long a message of QEMU may be.
const maxLineBytes = 1 << 20

// qmp is a connection to QEMU's monitor
// (https://www.qemu.org/docs/master/interop/qmp-spec.html): one message in each
// line, an answer to each command, and events between them.
type qmp struct {
	mu      sync.Mutex
	conn    net.Conn
	lines   *bufio.Scanner
	deleted []string // devices that QEMU has said are gone
}

type qmpMessage struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// deleted returns the device that a message says is gone; "" if it says something
// else.
func (m qmpMessage) deleted() string {
	var data struct{ Device string }
	if m.Event != "DEVICE_DELETED" || json.Unmarshal(m.Data, &data) != nil {
		return ""
	}
	return data.Device
}

// newQMP begins to speak with QEMU.
func newQMP(ctx context.Context, conn net.Conn) (*qmp, error) {
	q := &qmp{conn: conn, lines: bufio.NewScanner(conn)}
	q.lines.Buffer(nil, maxLineBytes)
	if err := q.until(ctx, func(m qmpMessage) bool { return m.Greeting != nil }); err != nil {
		return nil, fmt.Errorf("wait for QEMU's greeting: %w", err)
	}
	return q, q.Execute(ctx, "qmp_capabilities", nil, nil)
}

// Execute runs a command. If result is not nil, it gets what the command returns.
func (q *qmp) Execute(ctx context.Context, command string, arguments, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.execute(ctx, command, arguments, result); err != nil {
		return fmt.Errorf("QEMU, %s: %w", command, err)
	}
	return nil
}

func (q *qmp) execute(ctx context.Context, command string, arguments, result any) error {
	message := map[string]any{"execute": command}
	if arguments != nil {
		message["arguments"] = arguments
	}
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if err := q.deadline(ctx); err != nil {
		return err
	}
	if _, err := q.conn.Write(append(text, '\n')); err != nil {
		return err
	}
	var answer qmpMessage
	if err := q.until(ctx, func(m qmpMessage) bool { answer = m; return m.Return != nil || m.Error != nil }); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("%s (%s)", answer.Error.Desc, answer.Error.Class)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Return, result)
}

// Remove unplugs a device, and waits until it is gone.
func (q *qmp) Remove(ctx context.Context, id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.execute(ctx, "device_del", map[string]string{"id": id}, nil); err != nil {
		return fmt.Errorf("unplug %s: %w", id, err)
	}
	if !slices.Contains(q.deleted, id) {
		if err := q.until(ctx, func(qmpMessage) bool { return slices.Contains(q.deleted, id) }); err != nil {
			return fmt.Errorf("wait until %s is gone: %w", id, err)
		}
	}
	q.deleted = slices.DeleteFunc(q.deleted, func(gone string) bool { return gone == id })
	return nil
}

// until reads messages until one is wanted. It notes events.
func (q *qmp) until(ctx context.Context, wanted func(qmpMessage) bool) error {
	if err := q.deadline(ctx); err != nil {
		return err
	}
	for q.lines.Scan() {
		var m qmpMessage
		if err := json.Unmarshal(q.lines.Bytes(), &m); err != nil {
			return fmt.Errorf("not a message of QEMU's: %w", err)
		}
		if id := m.deleted(); id != "" {
			q.deleted = append(q.deleted, id)
		}
		if wanted(m) {
			return nil
		}
	}
	if err := q.lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// deadline makes reads and writes end with ctx.
func (q *qmp) deadline(ctx context.Context) error {
	until, ok := ctx.Deadline()
	if !ok {
		return errors.New("without a deadline, QEMU could be waited for for ever")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return q.conn.SetDeadline(until)
}

// Quit ends QEMU, without waiting for it.
func (q *qmp) Quit(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return errors.Join(q.Execute(ctx, "quit", nil, nil), q.conn.Close())
}
