package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
)

type options struct {
	directory, name, socket, address, endpoint string
	shared                                     bool
	retryDelay                                 time.Duration
}

type handler struct {
	pb.UnimplementedDiscoveryHandlerServer
	options
	register chan struct{} // asks to register

	outMu sync.Mutex
	out   io.Writer

	mu      sync.Mutex
	server  *grpc.Server // nil while it is away
	devices []*pb.Device
	changed chan struct{} // closed when the list is to be sent
	ended   chan struct{} // closed when streams are to end
	mute    bool
	refuse  string
}

func newHandler(o options, out io.Writer) *handler {
	if o.socket == "" {
		o.socket = filepath.Join(o.directory, o.name+".sock")
	}
	if o.retryDelay == 0 {
		o.retryDelay = 10 * time.Second
	}
	return &handler{
		options: o, out: out,
		register: make(chan struct{}, 1),
		changed:  make(chan struct{}),
		ended:    make(chan struct{}),
	}
}

func (h *handler) tell(format string, args ...any) {
	h.outMu.Lock()
	defer h.outMu.Unlock()
	fmt.Fprintln(h.out, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
}

// do carries out one command.
func (h *handler) do(line string) error {
	command, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch command {
	case "":
		return nil
	case "leave":
		h.leave()
		return nil
	case "return":
		if err := h.listen(); err != nil {
			return err
		}
		h.registerAgain()
		return nil
	case "register":
		h.registerAgain()
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch command {
	case "add":
		device, err := parseDevice(rest)
		if err != nil {
			return err
		}
		h.devices = append(h.devices, device)
	case "remove":
		id, _, err := parseID(rest)
		if err != nil {
			return err
		}
		h.devices = slices.DeleteFunc(slices.Clone(h.devices), func(d *pb.Device) bool { return d.Id == id })
	case "clear":
		h.devices = nil
	case "flood":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return err
		}
		for i := range n {
			h.devices = append(h.devices, &pb.Device{Id: fmt.Sprintf("flood-%d", i)})
		}
	case "send":
	case "mute", "unmute":
		h.mute = command == "mute"
		return nil
	case "refuse":
		h.refuse = rest
		return nil
	case "end":
		close(h.ended)
		h.ended = make(chan struct{})
		return nil
	default:
		return fmt.Errorf("there is no command %q", command)
	}
	close(h.changed)
	h.changed = make(chan struct{})
	return nil
}

// parseID takes an id, quoted or not, from the start of text.
func parseID(text string) (id, rest string, err error) {
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		id, err := strconv.Unquote(quoted)
		return id, text[len(quoted):], err
	}
	id, rest, _ = strings.Cut(text, " ")
	if id == "" {
		return "", "", errors.New("an id is missing")
	}
	return id, rest, nil
}

func parseDevice(text string) (*pb.Device, error) {
	id, rest, err := parseID(text)
	if err != nil {
		return nil, err
	}
	device := &pb.Device{Id: id, Properties: make(map[string]string)}
	for _, word := range strings.Fields(rest) {
		if path, ok := strings.CutPrefix(word, "node:"); ok {
			device.DeviceSpecs = append(device.DeviceSpecs, &pb.DeviceSpec{ContainerPath: path, HostPath: path, Permissions: "rw"})
		} else if path, ok := strings.CutPrefix(word, "mount:"); ok {
			device.Mounts = append(device.Mounts, &pb.Mount{ContainerPath: path, HostPath: path, ReadOnly: true})
		} else if key, value, ok := strings.Cut(word, "="); ok {
			device.Properties[key] = value
		} else {
			return nil, fmt.Errorf("what is %q?", word)
		}
	}
	return device, nil
}

// listen makes the handler answer.
func (h *handler) listen() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.server != nil {
		return errors.New("it listens already")
	}
	network, address := "unix", h.socket
	if h.address != "" {
		network, address = "tcp", h.address
	} else if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o660); err != nil {
			listener.Close()
			return err
		}
	} else {
		h.address = listener.Addr().String() // the same port when it returns
	}
	h.server = grpc.NewServer(grpc.MaxSendMsgSize(64 << 20))
	pb.RegisterDiscoveryHandlerServer(h.server, h)
	go h.server.Serve(listener)
	h.tell("listening %s", h.where().Endpoint)
	return nil
}

func (h *handler) leave() {
	h.mu.Lock()
	server := h.server
	h.server = nil
	h.mu.Unlock()
	if server != nil {
		server.Stop() // removes the socket, too
	}
}

func (h *handler) where() *pb.RegisterDiscoveryHandlerRequest {
	m := &pb.RegisterDiscoveryHandlerRequest{Name: h.name, Shared: h.shared, Endpoint: h.socket}
	if h.address != "" {
		m.EndpointType = pb.RegisterDiscoveryHandlerRequest_NETWORK
		m.Endpoint = "http://" + h.address
	}
	if h.endpoint != "" {
		m.Endpoint = h.endpoint
	}
	return m
}

func (h *handler) registerAgain() {
	select {
	case h.register <- struct{}{}:
	default:
	}
}

// keepRegistered registers, retries if that fails, and registers again on
// request.
func (h *handler) keepRegistered(ctx context.Context) {
	h.mu.Lock()
	where := h.where()
	h.mu.Unlock()
	for {
		var again <-chan time.Time
		switch err := h.registerOnce(ctx, where); {
		case err == nil:
			h.tell("registered")
		case ctx.Err() != nil:
			return
		case status.Code(err) == codes.Unavailable:
			h.tell("unregistered %s", status.Convert(err).Message())
			again = time.After(h.retryDelay)
		default:
			h.tell("refused %s %s", status.Code(err), status.Convert(err).Message())
			again = time.After(h.retryDelay)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-h.register:
		}
	}
}

func (h *handler) registerOnce(ctx context.Context, where *pb.RegisterDiscoveryHandlerRequest) error {
	conn, err := grpc.NewClient("unix://"+filepath.Join(h.directory, "agent-registration.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = pb.NewRegistrationClient(conn).RegisterDiscoveryHandler(ctx, where)
	return err
}

// Discover answers a request.
func (h *handler) Discover(m *pb.DiscoverRequest, stream grpc.ServerStreamingServer[pb.DiscoverResponse]) error {
	h.tell("asked %q", m.DiscoveryDetails)
	h.mu.Lock()
	refuse := h.refuse
	h.mu.Unlock()
	if refuse != "" {
		return status.Error(codes.InvalidArgument, refuse)
	}
	for first := true; ; first = false {
		h.mu.Lock()
		devices, changed, ended, mute := h.devices, h.changed, h.ended, h.mute
		h.mu.Unlock()
		if !mute && (!first || len(devices) > 0) {
			if err := stream.Send(&pb.DiscoverResponse{Devices: devices}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			h.tell("dropped")
			h.registerAgain()
			return stream.Context().Err()
		case <-ended:
			return nil
		case <-changed:
		}
	}
}
