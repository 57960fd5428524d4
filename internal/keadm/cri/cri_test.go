package cri

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		number := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
		}
	}
	return b
}

// The answers are as the interface's api.proto has them; that a real container
// runtime understands this package, test/edge shows.
func TestParsePods(t *testing.T) {
	answer := message(
		1, message(1, "id-1", 2, message(1, "shop", 2, "uid", 3, "default", 4, 1), 3, 0, 4, 1234567, 5, message(1, "k", 2, "v")),
		1, message(1, "id-2", 2, message(1, "dns", 3, "kube-system")),
		9, "of the future",
	)
	got, err := parsePods(answer)
	if want := []Pod{{"id-1", "default", "shop"}, {"id-2", "kube-system", "dns"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err := parsePods(nil); err != nil || got != nil {
		t.Errorf("none: %+v, %v", got, err)
	}
	if _, err := parsePods(message(1, message(2, message(1, "shop")))); err == nil || !strings.Contains(err.Error(), "without an id") {
		t.Errorf("without an id: %v", err)
	}
	for n := range len(answer) {
		_, _ = parsePods(answer[:n]) // an error or fewer, no panic
	}
}

// serve pretends to be a container runtime that answers calls by their method.
// What a real one does, test/edge shows.
func serve(t *testing.T, answer func(method string, request []byte) ([]byte, error)) *Runtime {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "r.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		out, err := answer(strings.TrimPrefix(method, service), request)
		if err != nil {
			return err
		}
		return stream.SendMsg(&out)
	}))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	r, err := Dial("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		server.Stop()
		<-ended
	})
	return r
}

func TestCalls(t *testing.T) {
	var called []string
	r := serve(t, func(method string, request []byte) ([]byte, error) {
		called = append(called, method+" "+string(request))
		if method == "ListPodSandbox" {
			return message(1, message(1, "id-1", 2, message(1, "shop", 3, "default"))), nil
		}
		return nil, nil
	})
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
	pods, err := r.Pods(t.Context())
	if err != nil || len(pods) != 1 {
		t.Fatalf("%+v, %v", pods, err)
	}
	if err := r.End(t.Context(), pods[0]); err != nil {
		t.Error(err)
	}
	id := string(message(1, "id-1"))
	if want := []string{"Version ", "ListPodSandbox ", "StopPodSandbox " + id, "RemovePodSandbox " + id}; !slices.Equal(called, want) {
		t.Errorf("%q, want %q", called, want)
	}
}

func TestFailures(t *testing.T) {
	r := serve(t, func(method string, _ []byte) ([]byte, error) {
		if method == "Version" {
			return nil, status.Error(codes.Unimplemented, "unknown service")
		}
		return nil, status.Error(codes.Internal, "it is broken")
	})
	if err := r.Check(t.Context()); !errors.Is(err, ErrNoCRI) {
		t.Errorf("without CRI: %v", err)
	}
	if _, err := r.Pods(t.Context()); err == nil || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("%v", err)
	}
	if err := r.End(t.Context(), Pod{"id", "default", "shop"}); err == nil || !strings.Contains(err.Error(), "StopPodSandbox of Pod default/shop") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Pods(ctx); err == nil {
		t.Error("it goes on when it is interrupted")
	}
}

func FuzzParsePods(f *testing.F) {
	f.Add(message(1, message(1, "id-1", 2, message(1, "shop", 3, "default"))))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if pods, err := parsePods(answer); err == nil {
			for _, p := range pods {
				if p.ID == "" {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}
