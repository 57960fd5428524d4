// Package modbustest has Modbus TCP servers for tests: a pretended one, which can
// be told to misbehave, and two real ones, of pymodbus and of npm's modbus-serial.
// It shares no code with the handler.
package modbustest

import (
	"encoding/binary"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
)

// Unit is how a unit of a pretended [Server] behaves.
type Unit struct {
	// Objects are what Read Device Identification gives. A unit without any answers
	// Identify.
	Objects map[byte]string
	// Page is how many of them an answer has at most; all if it is 0.
	Page int
	// Identify is what it does instead of identifying itself, and Read instead of
	// answering a read: an exception, or one of the constants.
	Identify, Read int
}

// What a unit does instead of answering, beside the exceptions 1 to 255.
const (
	Silence = 1000
	HangUp  = 1001
	Garbage = 1002
)

// Server is a pretended server, on the loopback.
type Server struct {
	listener net.Listener
	handling sync.WaitGroup

	mu      sync.Mutex
	units   map[byte]Unit
	missing int
	hijack  func(net.Conn)
	once    bool
	conns   map[net.Conn]bool
	total   int
	asked   map[[2]byte]int
}

// Start starts a server, and ends it with the test.
func Start(t testing.TB, units map[byte]Unit) *Server {
	t.Helper()
	return StartAt(t, "127.0.0.1:0", units)
}

// StartAt starts a server at host:port.
func StartAt(t testing.TB, address string, units map[byte]Unit) *Server {
	t.Helper()
	s, err := Listen(address, units)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Listen starts a server at host:port, until its Close.
func Listen(address string, units map[byte]Unit) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l, conns: map[net.Conn]bool{}, asked: map[[2]byte]int{}}
	s.Set(Silence, units)
	s.handling.Go(s.serve)
	return s, nil
}

// Address returns its host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Set changes the units. missing is what answers for others: an exception, or
// [Silence].
func (s *Server) Set(missing int, units map[byte]Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units, s.missing = maps.Clone(units), missing
}

// Hijack gives new connections to a function, which need not close them.
func (s *Server) Hijack(f func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hijack = f
}

// Once makes it hang up after each answer.
func (s *Server) Once() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once = true
}

// Connections returns how many connections there were.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Asked returns how many requests with a function code a unit has had.
func (s *Server) Asked(unit, function byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[[2]byte{unit, function}]
}

// Close ends the server and its connections.
func (s *Server) Close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.handling.Wait()
}

func (s *Server) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.total++
		hijack, once := s.hijack, s.once
		s.mu.Unlock()
		s.handling.Go(func() {
			if hijack != nil {
				hijack(c)
			} else {
				s.talk(c, once)
			}
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *Server) talk(c net.Conn, once bool) {
	for {
		b := make([]byte, 300)
		if _, err := io.ReadFull(c, b[:7]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(b[4:])) - 1
		if n < 1 || n > 253 {
			return
		}
		if _, err := io.ReadFull(c, b[7:7+n]); err != nil {
			return
		}
		answer := s.answer(b[6], b[7:7+n])
		if answer == nil { // it hangs up
			return
		}
		if len(answer) == 0 { // silence
			continue
		}
		binary.BigEndian.PutUint16(b[4:], uint16(1+len(answer)))
		if _, err := c.Write(append(b[:7:7], answer...)); err != nil || once {
			return
		}
	}
}

// answer returns a PDU; nil to hang up, one without bytes to be silent.
func (s *Server) answer(unit byte, request []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[[2]byte{unit, request[0]}]++
	u, ok := s.units[unit]
	do := s.missing
	switch {
	case ok && request[0] == 43:
		if len(u.Objects) > 0 {
			return u.identify(request)
		}
		if do = u.Identify; do == 0 {
			do = 1
		}
	case ok && request[0] <= 4:
		if do = u.Read; do == 0 {
			n := int(binary.BigEndian.Uint16(request[3:])) * 2
			if request[0] <= 2 {
				n = (n/2 + 7) / 8
			}
			return append([]byte{request[0], byte(n)}, make([]byte, n)...)
		}
	case ok:
		do = 1
	}
	switch do {
	case Silence:
		return []byte{}
	case HangUp:
		return nil
	case Garbage:
		return []byte{request[0], 99}
	}
	return []byte{request[0] | 0x80, byte(do)}
}

func (u Unit) identify(request []byte) []byte {
	numbers := slices.DeleteFunc(slices.Sorted(maps.Keys(u.Objects)), func(n byte) bool { return n < request[3] })
	single := request[2] == 4
	if single {
		if len(numbers) == 0 || numbers[0] != request[3] {
			return []byte{0xAB, 2}
		}
		numbers = numbers[:1]
	}
	answer := []byte{43, 14, request[2], 0x83, 0, 0, 0}
	if u.Page > 0 && len(numbers) > u.Page {
		answer[4], answer[5], numbers = 0xFF, numbers[u.Page], numbers[:u.Page]
	}
	answer[6] = byte(len(numbers))
	for _, n := range numbers {
		answer = append(append(answer, n, byte(len(u.Objects[n]))), u.Objects[n]...)
	}
	return answer
}
