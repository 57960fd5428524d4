package trial

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
	"github.com/akri-go/akri/discovery/wire"
)

const connectTimeout = 10 * time.Second

// connect returns a connection to a handler, as agents have it.
func connect(a contract.Address) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///handler",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, a) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
}

func dial(ctx context.Context, a contract.Address) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, a.Network, a.Dial)
}

// owner returns the process that listens on a socket, 0 if that is not known.
func owner(conn net.Conn) (pid int) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// call is one Discover call.
type call struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended

	mu      sync.Mutex
	answer  answer
	changed chan struct{} // closed at the next change
}

// ask makes a call. It goes on until it is dropped, or the handler ends it. Conn is
// nil if there is no handler to call.
func ask(ctx context.Context, conn *grpc.ClientConn, req discovery.Request, limits contract.Limits) *call {
	ctx, cancel := context.WithCancel(ctx)
	c := &call{cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(c.done)
		defer cancel()
		err := receive(ctx, conn, req, limits, func(l list) bool {
			l.after = time.Since(began)
			return !c.update(func(a answer) answer { return a.with(l) }).flood
		})
		c.update(func(a answer) answer {
			a.ended, a.code, a.said = true, status.Code(err), status.Convert(err).Message()
			return a
		})
	}()
	return c
}

// receive calls on for each list until it returns false or the call ends. The
// error is nil if the handler ended the call without one.
func receive(ctx context.Context, conn *grpc.ClientConn, req discovery.Request, limits contract.Limits,
	on func(list) bool) error {
	if conn == nil {
		return status.Error(codes.Unavailable, "there is no handler to call")
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true},
		pb.DiscoveryHandler_Discover_FullMethodName,
		grpc.ForceCodecV2(contract.RawCodec{}), grpc.MaxCallRecvMsgSize(limits.MessageBytes))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(wire.Request(req)); err != nil && err != io.EOF { // receiving says why it is EOF
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		var raw []byte
		if err := stream.RecvMsg(&raw); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if !on(decode(raw, limits)) {
			return status.Error(codes.Canceled, "it sent too many lists")
		}
	}
}

// decode reads a response. A list that the agent would ignore is not decoded.
func decode(raw []byte, limits contract.Limits) list {
	l := list{bytes: len(raw)}
	counts, err := contract.Count(raw, contract.FieldDevices)
	if err != nil {
		l.refused = err.Error()
		return l
	}
	if err := (contract.Rules{Limits: limits}).TooMany(counts[contract.FieldDevices]); err != nil {
		l.refused = err.Error()
		return l
	}
	var m pb.DiscoverResponse
	if err := proto.Unmarshal(raw, &m); err != nil {
		l.refused = fmt.Sprintf("a response that cannot be decoded: %v", err)
		return l
	}
	for _, id := range m.GetDeparted() {
		if id == "" || len(id) > limits.IDBytes || len(l.departed) >= limits.Devices {
			l.useless++
			continue
		}
		l.departed = append(l.departed, id)
	}
	size := 0
	l.devices = wire.Devices(&m)
	for _, d := range l.devices {
		size += contract.Size(d)
	}
	if size > limits.ReportBytes {
		l.refused = fmt.Sprintf("the list would take more than %d bytes of the agent's memory; it is ignored",
			limits.ReportBytes)
		l.devices = nil
	}
	return l
}

func (c *call) update(do func(answer) answer) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = do(c.answer)
	close(c.changed)
	c.changed = make(chan struct{})
	return c.answer
}

// now returns what has come so far.
func (c *call) now() answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answer
}

// until waits until what has come is as wanted, the call has ended, or ctx is
// done. It returns what has come then.
func (c *call) until(ctx context.Context, ok func(answer) bool) answer {
	for {
		c.mu.Lock()
		a, changed := c.answer, c.changed
		c.mu.Unlock()
		if a.ended || ok(a) {
			return a
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return a
		}
	}
}

// drop ends the call, as an agent does that no longer wants it.
func (c *call) drop() {
	c.cancel()
	<-c.done
}

// answered tells whether a list has come.
func answered(a answer) bool { return a.lists > 0 }
