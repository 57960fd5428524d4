package guest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/akri-go/akri/internal/eventually"
)

// monitor plays QEMU: it answers each command with lines of a script, in which
// "->" begins what is expected next.
func monitor(t *testing.T, script ...string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		lines := bufio.NewScanner(theirs)
		for _, line := range script {
			if want, ok := strings.CutPrefix(line, "->"); ok {
				if !lines.Scan() || lines.Text() != want {
					t.Errorf("it was told %q, want %q", lines.Text(), want)
				}
				continue
			}
			if _, err := fmt.Fprintln(theirs, line); err != nil {
				t.Errorf("nobody reads %s", line)
				return
			}
		}
	}()
	t.Cleanup(func() { ours.Close(); <-done })
	return ours
}

const greeting, capable = `{"QMP": {"version": {}, "capabilities": []}}`, `->{"execute":"qmp_capabilities"}`

func TestQMP(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	q, err := newQMP(ctx, monitor(t, greeting, capable, `{"return": {}}`,
		`->{"arguments":{"driver":"usb-serial","id":"a"},"execute":"device_add"}`, `{"event": "NIC_RX_FILTER_CHANGED", "data": {"name": "net0"}}`, `{"return": {}}`,
		`->{"arguments":{"driver":"nonsense"},"execute":"device_add"}`, `{"error": {"class": "GenericError", "desc": "'nonsense' is not a valid device model name"}}`,
		`->{"execute":"query-name"}`, `{"return": {"name": "guest"}}`,
		// Gone before the answer.
		`->{"arguments":{"id":"a"},"execute":"device_del"}`, `{"event": "DEVICE_DELETED", "data": {"device": "a", "path": "/machine/peripheral/a"}}`, `{"return": {}}`,
		// Gone after the answer, and another one before it.
		`->{"arguments":{"id":"a"},"execute":"device_del"}`, `{"return": {}}`, `{"event": "DEVICE_DELETED", "data": {"path": "/machine/unattached/device[3]"}}`,
		`{"event": "DEVICE_DELETED", "data": {"device": "b"}}`, `{"event": "DEVICE_DELETED", "data": {"device": "a"}}`,
		`->{"execute":"quit"}`, `{"return": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Execute(ctx, "device_add", map[string]string{"driver": "usb-serial", "id": "a"}, nil); err != nil {
		t.Error(err)
	}
	if err := q.Execute(ctx, "device_add", map[string]string{"driver": "nonsense"}, nil); err == nil || !strings.Contains(err.Error(), "QEMU, device_add: 'nonsense' is not a valid") {
		t.Errorf("got %v", err)
	}
	var named struct{ Name string }
	if err := q.Execute(ctx, "query-name", nil, &named); err != nil || named.Name != "guest" {
		t.Errorf("%+v, %v", named, err)
	}
	for range 2 {
		if err := q.Remove(ctx, "a"); err != nil {
			t.Error(err)
		}
	}
	if err := q.Execute(context.Background(), "query-name", nil, nil); err == nil {
		t.Error("it would wait for ever")
	}
	if err := q.Quit(30 * time.Second); err != nil {
		t.Error(err)
	}
}

// QEMU that says something else, nothing, or too much.
func TestQMPFaults(t *testing.T) {
	for name, script := range map[string][]string{
		"no message": {"hello"}, "gone": {}, "refused": {greeting, capable, `{"error": {"desc": "no"}}`}, "gone later": {greeting, capable},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
		if _, err := newQMP(ctx, monitor(t, script...)); err == nil {
			t.Errorf("%s: no error", name)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	silent, theirs := net.Pipe()
	defer theirs.Close()
	defer silent.Close()
	if _, err := newQMP(ctx, silent); err == nil {
		t.Error("it waits for ever")
	}
}

func TestForwardedPort(t *testing.T) {
	const info = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
		"  TCP[HOST_FORWARD]  12       127.0.0.1 36541       10.0.2.15  1000     0     0\r\n"
	for text, want := range map[string]int{info: 36541, "": 0, strings.ReplaceAll(info, "1000", "22"): 0, strings.ReplaceAll(info, "36541", "0"): 0} {
		if got, err := forwardedPort(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
