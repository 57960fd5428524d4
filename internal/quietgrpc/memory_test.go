package quietgrpc

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// childEnv makes the test binary a server; its value is the kind of the server,
// the folder of its sockets and how many there are.
const childEnv = "AKRI_QUIETGRPC_CHILD"

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		if err := runChild(child); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// BenchmarkMemory measures what a process of its own takes that serves a number
// of sockets, with a connection of a grpc-go client to each and one call open on
// it, as the kubelet holds them. It is why this package exists: see
// ARCHITECTURE.md. Run it with -benchtime 1x.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []string{"quietgrpc", "grpc-go", "grpc-go-ServeHTTP"} {
		for _, connections := range []int{0, 128, 1000} {
			b.Run(fmt.Sprintf("server=%s/connections=%d", kind, connections), func(b *testing.B) {
				for b.Loop() {
					measure(b, kind, connections)
				}
			})
		}
	}
}

func measure(b *testing.B, kind string, connections int) {
	dir, err := os.MkdirTemp("", "quiet")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	child := exec.CommandContext(b.Context(), os.Args[0])
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", childEnv, kind, dir, connections))
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := child.Wait(); err != nil {
			b.Error(err)
		}
	}()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		b.Fatal("the server does not start")
	}
	for i := range connections {
		conn, err := grpc.NewClient("unix://"+socket(dir, i), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		client := pluginapi.NewDevicePluginClient(conn)
		if _, err := client.GetDevicePluginOptions(b.Context(), &pluginapi.Empty{}); err != nil {
			b.Fatal(err)
		}
		stream, err := client.ListAndWatch(b.Context(), &pluginapi.Empty{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	fmt.Fprintln(stdin, "collect")
	if !lines.Scan() {
		b.Fatal("the server does not answer")
	}
	var goroutines int
	if _, err := fmt.Sscan(lines.Text(), &goroutines); err != nil {
		b.Fatal(err)
	}
	kib := residentKiB(b, child.Process.Pid)
	b.ReportMetric(float64(kib)/1024, "MiB-RSS")
	b.ReportMetric(float64(goroutines), "goroutines")
	b.ReportMetric(0, "ns/op") // says nothing
}

func socket(dir string, i int) string { return filepath.Join(dir, fmt.Sprint(i)) }

// oneDevice is what a resource with one device offers.
var oneDevice = &pluginapi.ListAndWatchResponse{Devices: []*pluginapi.Device{{ID: "cam-00000a-0", Health: pluginapi.Healthy}}}

// lister is the device plugin for servers of grpc-go.
type lister struct{ plugin }

func (l *lister) ListAndWatch(_ *pluginapi.Empty, stream grpc.ServerStreamingServer[pluginapi.ListAndWatchResponse]) error {
	if err := stream.Send(oneDevice); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// runChild serves until stdin is closed.
func runChild(args string) error {
	var kind, dir string
	var sockets int
	if _, err := fmt.Sscan(args, &kind, &dir, &sockets); err != nil {
		return err
	}
	var serve func(net.Listener)
	switch kind {
	case "quietgrpc":
		s := New()
		pluginapi.RegisterDevicePluginServer(s, &plugin{})
		s.RegisterWatch(listAndWatch, func(w *Watch) error { return w.Send(oneDevice) })
		serve = func(l net.Listener) { _ = s.Serve(l) }
	case "grpc-go":
		s := grpc.NewServer()
		pluginapi.RegisterDevicePluginServer(s, &lister{})
		serve = func(l net.Listener) { _ = s.Serve(l) }
	case "grpc-go-ServeHTTP":
		s := grpc.NewServer()
		pluginapi.RegisterDevicePluginServer(s, &lister{})
		h := &http.Server{
			Handler: s, Protocols: new(http.Protocols),
			HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReadFrameSize: defaultFrameBytes},
		}
		h.Protocols.SetUnencryptedHTTP2(true)
		serve = func(l net.Listener) { _ = h.Serve(l) }
	default:
		return fmt.Errorf("there is no server %q", kind)
	}
	for i := range sockets {
		l, err := net.Listen("unix", socket(dir, i))
		if err != nil {
			return err
		}
		go serve(l)
	}
	fmt.Println("serving")
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		debug.FreeOSMemory()
		fmt.Println(runtime.NumGoroutine())
	}
	return nil
}

func residentKiB(b *testing.B, pid int) (kib int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, found := strings.Cut(string(raw), "VmRSS:")
	if _, err := fmt.Sscan(after, &kib); err != nil || !found {
		b.Fatalf("no VmRSS: %v", err)
	}
	return kib
}
