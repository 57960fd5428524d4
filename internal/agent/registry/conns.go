package registry

import (
	"net"
	"sync"

	"github.com/akri-go/akri/internal/unixsock"
)

// maxConnections is how many processes may be registering at a time.
const maxConnections = 64

// limitedListener bounds the number of connections. It never refuses a new one:
// the peer that has most loses its oldest. So a peer that opens many and leaves
// them idle does not keep others from registering, which takes a moment.
type limitedListener struct {
	*unixsock.Listener

	mu   sync.Mutex
	open []*limitedConn // the oldest first
}

// peerID is who is at the other end. In a container all pids may be 0.
type peerID struct{ uid, pid int }

type limitedConn struct {
	*net.UnixConn
	from *limitedListener
	who  peerID
}

func (b *limitedListener) Accept() (net.Conn, error) {
	conn, err := b.AcceptUnix()
	if err != nil {
		return nil, err
	}
	p := identify(conn)
	c := &limitedConn{UnixConn: conn, from: b, who: peerID{p.uid, p.pid}}
	b.mu.Lock()
	b.open = append(b.open, c)
	var victim *limitedConn
	if len(b.open) > maxConnections {
		who := make([]peerID, len(b.open))
		for i, c := range b.open {
			who[i] = c.who
		}
		victim = b.open[oldestOfMost(who)]
	}
	b.mu.Unlock()
	if victim != nil {
		victim.Close()
	}
	return c, nil
}

// Close may be called more than once.
func (c *limitedConn) Close() error {
	c.from.mu.Lock()
	for i, other := range c.from.open {
		if other == c {
			c.from.open = append(c.from.open[:i], c.from.open[i+1:]...)
			break
		}
	}
	c.from.mu.Unlock()
	return c.UnixConn.Close()
}

// oldestOfMost returns which connection has to go: the oldest of the process that
// has most, among those of the user that has most.
func oldestOfMost(open []peerID) int {
	users, processes := map[int]int{}, map[peerID]int{}
	for _, who := range open {
		users[who.uid]++
		processes[who]++
	}
	victim := 0
	for i, who := range open {
		v := open[victim]
		if users[who.uid] > users[v.uid] || who.uid == v.uid && processes[who] > processes[v] {
			victim = i
		}
	}
	return victim
}
