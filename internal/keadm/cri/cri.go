// Package cri ends the Pods of a container runtime, by the few calls of the
// Container Runtime Interface that this takes (runtime.v1.RuntimeService).
//
// The interface's own module would add types and code for all the others. Here
// messages are written and read by their field numbers; unknown fields are passed
// over.
package cri

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const service = "/runtime.v1.RuntimeService/"

// maxAnswerBytes is how long an answer may be.
const maxAnswerBytes = 16 << 20

// The fields that are used.
const (
	listItems     = 1 // of ListPodSandboxResponse: repeated PodSandbox
	sandboxID     = 1 // of PodSandbox, StopPodSandboxRequest and RemovePodSandboxRequest: string
	sandboxMeta   = 2 // of PodSandbox: PodSandboxMetadata
	metaName      = 1 // of PodSandboxMetadata: string
	metaNamespace = 3 // of PodSandboxMetadata: string
)

// Pod is a Pod of the runtime.
type Pod struct{ ID, Namespace, Name string }

// Runtime is a connection to a container runtime.
type Runtime struct{ conn *grpc.ClientConn }

// Dial returns a connection to an endpoint, such as
// unix:///run/containerd/containerd.sock. It connects when it is needed.
func Dial(endpoint string) (*Runtime, error) {
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(maxAnswerBytes)))
	if err != nil {
		return nil, err
	}
	return &Runtime{conn}, nil
}

// Close ends the connection.
func (r *Runtime) Close() error { return r.conn.Close() }

// ErrNoCRI is that of what listens and is no container runtime for Kubernetes.
var ErrNoCRI = errors.New("it does not speak the Container Runtime Interface; if it is containerd, " +
	"its CRI plugin is off: take \"cri\" out of disabled_plugins in /etc/containerd/config.toml, and restart it")

// Check asks the runtime for its version, to see whether it can be used.
func (r *Runtime) Check(ctx context.Context) error {
	_, err := r.call(ctx, "Version", nil)
	if status.Code(err) == codes.Unimplemented {
		return ErrNoCRI
	}
	return err
}

// Pods lists the runtime's Pods, whatever their state.
func (r *Runtime) Pods(ctx context.Context) ([]Pod, error) {
	answer, err := r.call(ctx, "ListPodSandbox", nil)
	if err != nil {
		return nil, err
	}
	return parsePods(answer)
}

// End stops a Pod and all its containers, and removes them. It is no error if it
// is not there.
func (r *Runtime) End(ctx context.Context, p Pod) error {
	request := protowire.AppendString(protowire.AppendTag(nil, sandboxID, protowire.BytesType), p.ID)
	for _, method := range []string{"StopPodSandbox", "RemovePodSandbox"} {
		if _, err := r.call(ctx, method, request); err != nil {
			return fmt.Errorf("%s of Pod %s/%s: %w", method, p.Namespace, p.Name, err)
		}
	}
	return nil
}

func (r *Runtime) call(ctx context.Context, method string, request []byte) ([]byte, error) {
	var answer []byte
	err := r.conn.Invoke(ctx, service+method, &request, &answer)
	return answer, err
}

// parsePods reads a ListPodSandboxResponse.
func parsePods(answer []byte) ([]Pod, error) {
	var out []Pod
	err := fields(answer, func(number protowire.Number, item []byte) error {
		if number != listItems {
			return nil
		}
		var p Pod
		err := fields(item, func(number protowire.Number, value []byte) error {
			switch number {
			case sandboxID:
				p.ID = string(value)
			case sandboxMeta:
				return fields(value, func(number protowire.Number, value []byte) error {
					switch number {
					case metaName:
						p.Name = string(value)
					case metaNamespace:
						p.Namespace = string(value)
					}
					return nil
				})
			}
			return nil
		})
		if err == nil && p.ID == "" {
			err = errors.New("the container runtime lists a Pod without an id")
		}
		out = append(out, p)
		return err
	})
	return out, err
}

// fields calls f with each field of a message that is bytes.
func fields(message []byte, f func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return protowire.ParseError(n)
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := f(number, value); err != nil {
			return err
		}
	}
	return nil
}

// raw is a codec of bytes that are encoded already.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not bytes", v)
	}
	return *b, nil
}

func (raw) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is not bytes", v)
	}
	*b = append([]byte(nil), data...)
	return nil
}
