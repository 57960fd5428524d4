package dns

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// askTimeout is how long one resolver may take, and maxResolvers how many are
	// asked, as the C library has it.
	askTimeout   = 2 * time.Second
	maxResolvers = 3
	// maxDatagram is more than resolvers send over UDP.
	maxDatagram = 4096
)

// Resolvers reads the addresses of resolvers, as host:port, in the text of
// resolv.conf. One at the address own is left out.
func Resolvers(text []byte, own string) []string {
	var all []string
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) >= 2 && f[0] == "nameserver" && len(all) < maxResolvers {
			if at := net.JoinHostPort(f[1], "53"); at != own {
				all = append(all, at)
			}
		}
	}
	return all
}

var errNoResolver = errors.New("the node has no resolver (/etc/resolv.conf)")

// forward asks resolvers, one after another, and returns the first answer.
func forward(ctx context.Context, resolvers []string, q query, tcp bool) ([]byte, error) {
	err := errNoResolver
	for _, at := range resolvers {
		var out []byte
		if out, err = ask(ctx, at, q, tcp); err == nil {
			return out, nil
		}
	}
	return nil, err
}

// ask asks one resolver. Its answer has the query's id.
func ask(ctx context.Context, resolver string, q query, tcp bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	network := "udp"
	if tcp {
		network = "tcp"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, resolver)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	id := uint16(rand.Uint32()) // with a port of its own: not to be guessed
	out := bytes.Clone(q.raw)
	binary.BigEndian.PutUint16(out, id)
	if err := write(conn, out, tcp); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	for {
		answer, err := receive(conn, reader, tcp)
		if err != nil {
			return nil, err
		}
		if answers(answer, id, q.question) {
			binary.BigEndian.PutUint16(answer, q.header.ID)
			return answer, nil
		}
	}
}

// answers tells whether a message is the answer to a question.
func answers(message []byte, id uint16, question dnsmessage.Question) bool {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || !h.Response || h.ID != id {
		return false
	}
	q, err := p.Question()
	return err == nil && q.Type == question.Type && q.Class == question.Class &&
		strings.EqualFold(q.Name.String(), question.Name.String())
}

// write writes a message; TCP has its length before it.
func write(w io.Writer, message []byte, tcp bool) error {
	if tcp {
		if len(message) > maxTCP {
			return fmt.Errorf("a message of %d bytes", len(message))
		}
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	}
	_, err := w.Write(message)
	return err
}

// receive reads a message.
func receive(datagrams io.Reader, stream *bufio.Reader, tcp bool) ([]byte, error) {
	if !tcp {
		buf := make([]byte, maxDatagram)
		n, err := datagrams.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(stream, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(stream, message)
	return message, err
}
