package simulator

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// air has the UDP sockets of a simulator. Cameras of one address share a
// socket, and so do those of one interface the one that hears the group: 500
// sockets in a group would be 500 copies of each probe.
type air struct {
	receive func(data []byte, from netip.AddrPort, at *socket)

	mu   sync.Mutex
	open map[socketKey]*socket
}

type socketKey struct {
	at    netip.AddrPort
	iface int
}

// socket is a UDP socket that several cameras use.
type socket struct {
	key   socketKey
	conn  *net.UDPConn
	users int
	ended chan struct{}

	// What was asked lately, in a ring: repeated questions have one answer.
	asked [256]string
	next  int
}

// group says whether it is one that hears a group.
func (s *socket) group() bool { return s.key.at.Addr().IsMulticast() }

// seen notes a question and says whether it was noted before. Only the
// goroutine that reads the socket calls it.
func (s *socket) seen(question string) bool {
	for _, q := range s.asked {
		if q == question {
			return true
		}
	}
	s.asked[s.next] = question
	s.next = (s.next + 1) % len(s.asked)
	return false
}

// use opens a socket or shares the one that is open. release gives it back.
func (a *air) use(at netip.AddrPort, on *net.Interface) (*socket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := socketKey{at, on.Index}
	if s := a.open[key]; s != nil {
		s.users++
		return s, nil
	}
	conn, err := openUDP(at, on)
	if err != nil {
		return nil, err
	}
	s := &socket{key: key, conn: conn, users: 1, ended: make(chan struct{})}
	if a.open == nil {
		a.open = map[socketKey]*socket{}
	}
	a.open[key] = s
	go func() {
		defer close(s.ended)
		a.read(s)
	}()
	return s, nil
}

// release closes a socket that nobody uses any more, and waits until nothing of
// it is being received. nil is no socket.
func (a *air) release(s *socket) error {
	if s == nil {
		return nil
	}
	a.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(a.open, s.key)
	}
	a.mu.Unlock()
	if !last {
		return nil
	}
	err := s.conn.Close()
	<-s.ended
	return err
}

// read receives until the socket is closed.
func (a *air) read(s *socket) {
	buffer := make([]byte, maxRequest)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of a datagram that was sent
		}
		a.receive(buffer[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), s)
	}
}

// send sends a datagram from the socket's address.
func (s *socket) send(data []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(data, to)
	return err
}
