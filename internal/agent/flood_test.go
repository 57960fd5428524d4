package agent

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	pb "github.com/akri-go/akri/api/discovery/v0"
	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
	"github.com/akri-go/akri/internal/agent/registry"
)

// What handlers make an agent hold is bounded, however many there are and however
// much they report; and one that reports little is heard among them.
func TestFlood(t *testing.T) {
	if dir := os.Getenv("AGENT_TEST_FLOODED"); dir != "" {
		flooded(t, dir)
		return
	}
	for _, test := range []struct {
		name     string
		report   int // bytes
		limitMiB int
	}{
		// An agent without devices has 30 MiB, of which 20 are here.
		{"16-MiB", 16 << 20, 100},
		{"3.5-MiB", 3500 << 10, 100},
		{"1-MiB", 1 << 20, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "akri")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			message := report(t, test.report)
			for n := range 64 {
				floodHandler(t, filepath.Join(dir, fmt.Sprintf("flood-%d.sock", n)), message)
			}
			small := report(t, 1)
			floodHandler(t, filepath.Join(dir, "quiet.sock"), small)

			child := exec.Command(os.Args[0], "-test.run=^TestFlood$")
			child.Env = append(os.Environ(), "AGENT_TEST_FLOODED="+dir)
			stdin, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { child.Process.Kill(); child.Wait() })
			lines := bufio.NewScanner(stdout)
			await := func(text string) {
				t.Helper()
				for lines.Scan() {
					if strings.HasPrefix(lines.Text(), text) {
						return
					}
				}
				t.Fatalf("the agent ended before it said %q", text)
			}
			await("serving")
			for n := range 64 {
				register(t, dir, "flood", fmt.Sprintf("flood-%d.sock", n))
			}
			await("asked")
			register(t, dir, "quiet", "quiet.sock")
			await("heard")
			peak := peakMiB(t, child.Process.Pid)
			stdin.Close()
			t.Logf("figure=flood-handler-64-reports-of-%s value=%d unit=MiB", test.name, peak)
			if limit := test.limitMiB * memoryFactor; peak > limit {
				t.Errorf("the agent had %d MiB at most, want less than %d", peak, limit)
			}
		})
	}
}

// flooded is the agent: registry and inventory of one that runs.
func flooded(t *testing.T, dir string) {
	var mu sync.Mutex
	said := map[string]bool{}
	say := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if !said[text] {
			said[text] = true
			fmt.Println(text)
		}
	}
	uptime := &inventory.UpTime{}
	uptime.Set(true)
	inv := inventory.New(inventory.Options{
		Node: "n", UpTime: uptime, Logger: slog.New(slog.DiscardHandler),
		Statuses: statusFunc(func(c types.NamespacedName, entry v0.ConfigurationNode) {
			if c.Name == "quiet" && entry.Devices > 0 {
				say("heard")
			}
		}),
	})
	var answers int
	handlers, err := registry.New(registry.Options{
		Dir: dir, Observer: inv, SocketGID: -1,
		Answered: func(a registry.Answer) {
			mu.Lock()
			answers++
			all := answers >= 32 // not all may be asked
			mu.Unlock()
			if all {
				say("asked")
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"flood", "quiet"} {
		req := registry.Request{Configuration: types.NamespacedName{Namespace: "default", Name: name}, Handler: name, Request: discovery.Request{Details: "x"}}
		inv.SetConfiguration(inventory.Configuration{Name: req.Configuration, Owner: "u", Handler: name, RequestID: req.ID(), Capacity: 1})
		handlers.Ask(req)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = handlers.Run(ctx) })
	running.Go(func() { _ = inv.Run(ctx) })
	for {
		if _, err := os.Stat(filepath.Join(dir, registry.Socket)); err == nil {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	fmt.Println("serving")
	bufio.NewReader(os.Stdin).ReadString('\n') // until the other side has seen enough
	cancel()
	running.Wait()
}

type statusFunc func(types.NamespacedName, v0.ConfigurationNode)

func (f statusFunc) ConfigurationStatus(c types.NamespacedName, _ types.UID, entry v0.ConfigurationNode) {
	f(c, entry)
}

// report is a DiscoverResponse of about so many bytes, of devices that are
// allowed.
func report(t *testing.T, bytes int) []byte {
	m := &pb.DiscoverResponse{}
	value := strings.Repeat("v", 4<<10)
	for n := 0; n == 0 || proto.Size(m) < bytes-(16<<10); n++ {
		d := &pb.Device{Id: fmt.Sprintf("device-%d", n), Properties: map[string]string{}}
		for key := range min(3, bytes) {
			d.Properties[fmt.Sprintf("KEY_%d", key)] = value
		}
		m.Devices = append(m.Devices, d)
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// encoded sends one message, encoded once for all.
type encoded []byte

func (encoded) Name() string { return "proto" }
func (e encoded) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(e)}, nil
}
func (encoded) Unmarshal(mem.BufferSlice, any) error { return nil }

// floodHandler answers each request with a message at once, and is silent then.
func floodHandler(t *testing.T, socket string, message []byte) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(encoded(message)))
	pb.RegisterDiscoveryHandlerServer(server, sender{})
	go server.Serve(listener)
	t.Cleanup(server.Stop)
}

type sender struct {
	pb.UnimplementedDiscoveryHandlerServer
}

func (sender) Discover(_ *pb.DiscoverRequest, stream grpc.ServerStreamingServer[pb.DiscoverResponse]) error {
	if err := stream.Send(&pb.DiscoverResponse{}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func register(t *testing.T, dir, name, socket string) {
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, registry.Socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = pb.NewRegistrationClient(conn).RegisterDiscoveryHandler(t.Context(),
		&pb.RegisterDiscoveryHandlerRequest{Name: name, Endpoint: filepath.Join(dir, socket)}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
}

func peakMiB(t *testing.T, pid int) (mib int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kib int
			fmt.Sscan(text, &kib)
			return kib >> 10
		}
	}
	t.Fatal("the kernel does not tell VmHWM")
	return 0
}
