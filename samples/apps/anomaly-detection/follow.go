package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/shorten"
	"github.com/akri-go/akri/samples/opcuanode"
	"github.com/akri-go/akri/samples/services"
)

const (
	callTimeout = 10 * time.Second
	// maxMessage is how large an answer of a broker may be.
	maxMessage = 16 << 10
	// maxName and maxReason are how much of a broker's texts is shown.
	maxName, maxReason = 200, 300
)

// retry is how long is waited for a broker that does not answer.
var retry = backoff.Backoff{First: 200 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.25}

// news is what a broker says.
type news struct {
	server string // what it calls the server
	value  float64
	reason string // why there is no value
}

// tell takes the news of a source.
type tell func(news)

// follow tells what a broker says until ctx is done.
func follow(ctx context.Context, source services.Source, tell tell) {
	for failures := 0; ctx.Err() == nil; {
		err := connect(ctx, source, func(n news) {
			failures = 0
			tell(n)
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil { // the next turn
			continue
		}
		tell(news{reason: reasonOf(err)})
		failures++
		_ = backoff.Sleep(ctx, retry.Delay(failures)) // the loop looks at ctx
	}
}

// connect follows a broker over one connection. Nil says that its turn is over.
func connect(ctx context.Context, source services.Source, tell tell) error {
	conn, err := services.Dial(source.Address, maxMessage)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := opcuanode.NewOpcuaNodeClient(conn)
	if source.ID == services.Main { // each connection may lead to another broker
		if err := ask(ctx, client, tell); err != nil {
			return err
		}
		_ = backoff.Sleep(ctx, interval) // who called looks at ctx
		return nil
	}
	err = stream(ctx, client, tell)
	if status.Code(err) == codes.Unimplemented { // upstream's
		err = poll(ctx, client, tell)
	}
	return err
}

// stream gets values as they come.
func stream(ctx context.Context, client opcuanode.OpcuaNodeClient, tell tell) error {
	stream, err := client.StreamValues(ctx, &opcuanode.ValueRequest{})
	for err == nil {
		var m *opcuanode.ValueResponse
		if m, err = stream.Recv(); err == nil {
			tell(newsOf(m))
		}
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the broker has ended")
	}
	return err
}

// poll asks for one value after the other.
func poll(ctx context.Context, client opcuanode.OpcuaNodeClient, tell tell) error {
	for {
		if err := ask(ctx, client, tell); err != nil {
			return err
		}
		if err := backoff.Sleep(ctx, interval); err != nil {
			return err
		}
	}
}

func ask(ctx context.Context, client opcuanode.OpcuaNodeClient, tell tell) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := client.GetValue(ctx, &opcuanode.ValueRequest{})
	if err == nil {
		tell(newsOf(m))
	}
	return err
}

// newsOf reads a message. Upstream's brokers send a value always, and nothing else.
func newsOf(m *opcuanode.ValueResponse) news {
	n := news{server: shorten.Text(m.GetOpcuaServer(), maxName)}
	switch {
	case m.Reading != nil && !math.IsNaN(m.GetReading()) && !math.IsInf(m.GetReading(), 0):
		n.value = m.GetReading()
	case m.Reading != nil:
		n.reason = fmt.Sprintf("the broker sends %v", m.GetReading())
	case m.GetReason() != "":
		n.reason = shorten.Text(m.GetReason(), maxReason)
	default:
		n.value = float64(m.GetValue())
	}
	return n
}

// reasonOf says in a few words why there is no value.
func reasonOf(err error) string {
	switch status.Code(err) {
	case codes.Unavailable:
		return "the broker does not answer"
	case codes.DeadlineExceeded:
		return "the broker is too slow"
	case codes.Unimplemented:
		return "what answers is no broker for OPC UA servers"
	case codes.Unknown: // not of gRPC
		return shorten.Text(err.Error(), maxReason)
	}
	return "the broker answers with an error: " + status.Code(err).String()
}
