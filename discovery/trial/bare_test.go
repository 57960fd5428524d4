package trial_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery/trial"
)

// handlerVariable makes this test's program a handler, with the faults that it
// names.
const handlerVariable = "AKRI_TRIAL_FAULTS"

func TestMain(m *testing.M) {
	if faults, ok := os.LookupEnv(handlerVariable); ok {
		if err := newBare(faults).run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// faulty is a program that is a handler with faults, which are words.
func faulty(t *testing.T, faults string) *trial.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &trial.Program{Args: []string{self}, Env: []string{handlerVariable + "=" + faults}}
}

// bare is a handler that uses the generated code of the protocol alone. Without
// faults it does all that is asked for.
type bare struct {
	pb.UnimplementedDiscoveryHandlerServer
	faults    map[string]bool
	directory string
	again     chan struct{}
	calls     atomic.Int64
	workers   chan struct{}
	one       sync.Mutex

	mu     sync.Mutex
	leaked []*os.File
}

func newBare(faults string) *bare {
	b := &bare{faults: map[string]bool{}, directory: os.Getenv("DISCOVERY_HANDLERS_DIRECTORY"), again: make(chan struct{}, 1), workers: make(chan struct{}, 30)}
	for fault := range strings.FieldsSeq(faults) {
		b.faults[fault] = true
	}
	return b
}

func (b *bare) has(fault string) bool { return b.faults[fault] }

func (b *bare) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if b.has("needs-agent") {
		if _, err := os.Stat(filepath.Join(b.directory, trial.AgentSocket)); err != nil {
			return err
		}
	}
	path := filepath.Join(b.directory, "bare.sock")
	if !b.has("keeps-dead-socket") {
		_ = os.Remove(path)
	}
	if !b.has("does-not-listen") {
		listener, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		mode := os.FileMode(0o660)
		if b.has("open-to-all") {
			mode = 0o666
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		server := grpc.NewServer()
		if !b.has("other-service") {
			pb.RegisterDiscoveryHandlerServer(server, b)
		}
		go server.Serve(listener)
		defer server.Stop()
	}
	go b.register(ctx, path)
	if b.has("ignores-sigterm") {
		signal.Ignore(syscall.SIGTERM)
		select {}
	}
	<-ctx.Done()
	return nil
}

func (b *bare) register(ctx context.Context, path string) {
	socket := filepath.Join(b.directory, trial.AgentSocket)
	m := &pb.RegisterDiscoveryHandlerRequest{Name: "bare", Endpoint: path}
	switch {
	case b.has("wrong-name"):
		m.Name = "other"
	case b.has("relative-path"):
		m.Endpoint = "bare.sock"
	case b.has("other-folder"):
		m.Endpoint = "/run/bare.sock"
	case b.has("shared"):
		m.Shared = true
	}
	var known os.FileInfo
	for n := 0; ; n++ {
		now, err := os.Lstat(socket)
		made := err == nil && (known == nil || !os.SameFile(known, now) || !known.ModTime().Equal(now.ModTime()))
		again := false
		select {
		case <-b.again:
			again = true
		default:
		}
		first := known == nil
		if err == nil && (first || made && !b.has("does-not-watch") || again) && !(b.has("registers-once") && !first) {
			if b.has("moves") && !first {
				m.Name += "2"
			}
			if registerOnce(ctx, socket, m) == nil {
				known = now
			} else {
				b.registerAgain()
			}
		} else if again {
			b.registerAgain() // the agent is away
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func registerOnce(ctx context.Context, socket string, m *pb.RegisterDiscoveryHandlerRequest) error {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = pb.NewRegistrationClient(conn).RegisterDiscoveryHandler(ctx, m)
	return err
}

func (b *bare) registerAgain() {
	select {
	case b.again <- struct{}{}:
	default:
	}
}

func device(id string) *pb.Device {
	return &pb.Device{Id: id, Properties: map[string]string{"NAME": id}}
}

// list makes the lists that a call brings, one after the other.
func (b *bare) lists(details string) (all [][]*pb.Device) {
	names := strings.Fields(details)
	n := b.calls.Add(1)
	var whole []*pb.Device
	for _, name := range names {
		d := device(name)
		switch {
		case b.has("counts"):
			d.Id = fmt.Sprintf("%s-%d", name, n)
		case b.has("timestamps"):
			d.Properties["TIME"] = fmt.Sprint(n)
		case b.has("long-ids"):
			d.Id = strings.Repeat(name, 2000)
		case b.has("loader"):
			d.Properties["LD_PRELOAD"] = "/x.so"
		case b.has("mounts"):
			d.Mounts = []*pb.Mount{{HostPath: "/srv/data", ContainerPath: "/data"}}
		case b.has("reaches-out"):
			d.DeviceSpecs = []*pb.DeviceSpec{{HostPath: "/dev/../etc/shadow", ContainerPath: "/x", Permissions: "r"}}
		}
		whole = append(whole, d)
		if b.has("parts") {
			all = append(all, []*pb.Device{d})
		}
	}
	switch {
	case b.has("parts"):
		return all
	case b.has("twice"):
		return [][]*pb.Device{append(whole, whole...)}
	case b.has("huge"):
		whole[0].Properties["BIG"] = strings.Repeat("x", 5<<20)
	case b.has("many"):
		for i := range 20_000 {
			whole = append(whole, device(fmt.Sprint(i)))
		}
	}
	return [][]*pb.Device{whole}
}

func (b *bare) Discover(m *pb.DiscoverRequest, stream grpc.ServerStreamingServer[pb.DiscoverResponse]) error {
	ctx := stream.Context()
	if m.DiscoveryDetails != "nothing" && strings.Contains(m.DiscoveryDetails, "'") || m.DiscoveryDetails == "bad" {
		switch {
		case b.has("panics-on-bad"):
			panic("unwrap")
		case b.has("takes-anything"):
		case b.has("refuses-vaguely"):
			return status.Error(codes.Unknown, "no")
		case b.has("refuses-silently"):
			return status.Error(codes.InvalidArgument, "")
		default:
			return status.Error(codes.InvalidArgument, "write names, such as: one two")
		}
	}
	if b.has("panics") {
		panic("unwrap")
	}
	if b.has("one-at-a-time") {
		b.one.Lock()
		defer b.one.Unlock()
	}
	if b.has("keeps-workers") { // of 30
		b.workers <- struct{}{}
	}
	if b.has("keeps-files") {
		if f, err := os.Open(os.DevNull); err == nil {
			b.mu.Lock()
			b.leaked = append(b.leaked, f)
			b.mu.Unlock()
		}
	}
	details := m.DiscoveryDetails
	if details == "nothing" {
		details = ""
	}
	lists := b.lists(details)
	if b.extra() {
		lists[len(lists)-1] = append(lists[len(lists)-1], device("extra"))
	}
	if b.has("mute") || len(lists[0:]) > 0 && len(strings.Fields(details)) == 0 && b.has("mute-if-empty") {
		lists = nil
	}
	for _, devices := range lists {
		if err := stream.Send(&pb.DiscoverResponse{Devices: devices}); err != nil {
			return err
		}
	}
	for b.has("repeats") && ctx.Err() == nil {
		if err := stream.Send(&pb.DiscoverResponse{Devices: lists[0]}); err != nil {
			return err
		}
		if !b.has("floods") {
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	if b.has("ends") {
		return nil
	}
	if err := b.follow(stream, lists); err != nil {
		return err
	}
	<-ctx.Done()
	if !b.has("does-not-notice") {
		b.registerAgain()
	}
	return ctx.Err()
}

// extra is the file that stands for one more device.
func (b *bare) extra() bool {
	_, err := os.Stat(filepath.Join(b.directory, "extra"))
	return err == nil
}

// follow sends the new list when the extra device comes.
func (b *bare) follow(stream grpc.ServerStreamingServer[pb.DiscoverResponse], lists [][]*pb.Device) error {
	there := len(lists) > 0 && slices.ContainsFunc(lists[len(lists)-1], func(d *pb.Device) bool { return d.Id == "extra" })
	for ctx := stream.Context(); len(lists) > 0 && !there && !b.has("misses-changes"); {
		if b.extra() {
			whole := append(lists[len(lists)-1], device("extra"))
			if b.has("sends-new-ones") {
				whole = whole[len(whole)-1:]
			}
			return stream.Send(&pb.DiscoverResponse{Devices: whole})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
