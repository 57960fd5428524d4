package edgelink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/cloud/cloudhub"
	"github.com/akri-go/akri/internal/edge/edgehub/link"
)

// slowEnv makes the test binary both ends of a slow link, in a network namespace
// of its own; its value is the direction of the long messages.
const slowEnv = "AKRI_EDGELINK_SLOW"

const (
	longBytes  = 2 << 20
	shortBytes = 300
	shortEvery = 100 * time.Millisecond
)

// BenchmarkHeadOfLine measures how long a short call takes beside a message of 2
// MiB, at 2 Mbit/s for both directions together (tc tbf on loopback, in a
// network namespace of its own). It needs root. Run it with -benchtime 1x.
func BenchmarkHeadOfLine(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("makes a network namespace: needs root")
	}
	for _, direction := range []string{"up", "down"} {
		b.Run(direction, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), "unshare", "--net", "sh", "-ec",
					`ip link set lo mtu 1500 up; tc qdisc add dev lo root tbf rate 2mbit burst 16kb latency 2s; exec "$0"`, os.Args[0])
				cmd.Env = append(os.Environ(), slowEnv+"="+direction)
				cmd.Stderr = os.Stderr
				out, err := cmd.Output()
				if err != nil {
					b.Fatal(err)
				}
				var p50, p99, longest, all float64
				if _, err := fmt.Sscan(string(out), &p50, &p99, &longest, &all); err != nil {
					b.Fatalf("%s: %v", out, err)
				}
				b.ReportMetric(p50, "ms-p50")
				b.ReportMetric(p99, "ms-p99")
				b.ReportMetric(longest, "ms-max")
				b.ReportMetric(all, "s-for-long-message")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// runSlow prints how long short calls took (p50, p99, max, in ms) and the long
// message (s).
func runSlow(direction string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := newAuthority()
	if err != nil {
		return err
	}
	controller := &echo{}
	hub, err := cloudhub.New(cloudhub.Options{Authority: a, Controller: controller, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	l, err := hub.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = hub.Serve(ctx, l) }()
	key, err := certs.NewKey()
	if err != nil {
		return err
	}
	config, err := a.node(key, "edge-1")
	if err != nil {
		return err
	}
	n := &slowNode{linked: make(chan func(context.Context, edgev1.Message) error, 1), got: make(chan edgev1.Message, 1000)}
	go func() {
		_ = link.Run(ctx, link.Options{
			Address: l.Addr().String(), TLS: fixed(config), Hello: edgev1.Hello{Node: "edge-1"},
			Log: slog.New(slog.DiscardHandler),
		}, n)
	}()
	var send func(context.Context, edgev1.Message) error
	select {
	case send = <-n.linked:
	case <-ctx.Done():
		return ctx.Err()
	}
	// With an answer it is known that the controller has the session.
	if err := send(ctx, &edgev1.Call{ID: 2}); err != nil {
		return err
	}
	<-n.got
	began := time.Now()
	if direction == "up" {
		err = send(ctx, &edgev1.Call{ID: 1, Body: make([]byte, longBytes)})
	} else {
		err = controller.to("edge-1")(ctx, &edgev1.Put{ID: 1, Object: make([]byte, longBytes)})
	}
	if err != nil {
		return err
	}
	var took []time.Duration
	asked := map[uint64]time.Time{}
	tick := time.NewTicker(shortEvery)
	defer tick.Stop()
	for id := uint64(3); ; {
		select {
		case <-ctx.Done():
			return errors.New("the long message takes more than a minute")
		case <-tick.C:
			id++
			asked[id] = time.Now()
			if err := send(ctx, &edgev1.Call{ID: id, Body: []byte(strings.Repeat("x", shortBytes))}); err != nil {
				return err
			}
		case m := <-n.got:
			r, ok := m.(*edgev1.Reply)
			if ok && r.ID != 1 {
				took = append(took, time.Since(asked[r.ID]))
				delete(asked, r.ID)
				continue
			}
			for _, since := range asked { // at least so long
				took = append(took, time.Since(since))
			}
			slices.Sort(took)
			ms := func(part float64) float64 {
				return took[int(part*float64(len(took)-1))].Seconds() * 1000
			}
			fmt.Println(ms(0.5), ms(0.99), ms(1), time.Since(began).Seconds())
			return nil
		}
	}
}

// slowNode hands over what comes.
type slowNode struct {
	linked chan func(context.Context, edgev1.Message) error
	got    chan edgev1.Message
}

func (n *slowNode) Connected(_ context.Context, _ edgev1.Hello, send func(context.Context, edgev1.Message) error) {
	n.linked <- send
}

func (n *slowNode) Receive(m edgev1.Message) { n.got <- m }

func (n *slowNode) Disconnected(err error) { fmt.Fprintln(os.Stderr, "the link is gone:", err) }
