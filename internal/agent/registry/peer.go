package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/akri-go/akri/discovery/contract"
)

// process is who is at the other end of a socket, as the kernel says. Ids are
// those of this process's namespaces; the pid is 0 if it is not visible here.
type process struct {
	credentials.CommonAuthInfo
	pid      int
	uid, gid int
	groups   []int // supplementary
	err      error // why the rest is not known
}

func (process) AuthType() string { return "peercred" }

// admit returns nil if a process may register handlers: root, the agent's own
// user, the given users and members of the group.
func admit(p process, uids []int, gid int) error {
	switch {
	case p.err != nil:
		return fmt.Errorf("who registers is not known: %w", p.err)
	case p.uid == 0, slices.Contains(uids, p.uid), p.gid == gid, slices.Contains(p.groups, gid):
		return nil
	}
	return fmt.Errorf("user %d with group %d may not register handlers: only root and members of group %d may; "+
		"add that group to the Pod's securityContext.supplementalGroups", p.uid, p.gid, gid)
}

func (r *Registry) admit(p process) error {
	return admit(p, append([]int{os.Geteuid()}, r.opts.PeerUIDs...), r.opts.SocketGID)
}

// admitName returns nil if a process may register handlers of a name.
func admitName(p process, name string, uids map[string][]int) error {
	allowed, ok := uids[name]
	switch {
	case !ok, slices.Contains(allowed, p.uid):
		return nil
	case len(allowed) == 0:
		return fmt.Errorf("no process may register a handler %s on this node (agent.handlerUIDs); use another name", contract.Show(name))
	}
	return fmt.Errorf("user %d may not register a handler %s on this node, only %s may (agent.handlerUIDs); "+
		"run the handler as such a user (runAsUser) or change the value", p.uid, contract.Show(name), users(allowed))
}

func users(uids []int) string {
	words := make([]string, len(uids))
	for i, uid := range uids {
		words[i] = fmt.Sprintf("user %d", uid)
	}
	return strings.Join(words, ", ")
}

// peerCredentials makes gRPC ask the kernel who connects.
type peerCredentials struct{}

var _ credentials.TransportCredentials = peerCredentials{}

func (peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	p := identify(conn)
	p.SecurityLevel = credentials.NoSecurity
	return conn, p, nil
}

func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for servers")
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peercred"}
}

func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

func (peerCredentials) OverrideServerName(string) error { return nil }

func caller(ctx context.Context) process {
	if p, ok := peer.FromContext(ctx); ok {
		if process, ok := p.AuthInfo.(process); ok {
			return process
		}
	}
	return process{err: errors.New("no credentials")}
}

func identify(conn net.Conn) process {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return process{err: errors.New("not a socket")}
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return process{err: err}
	}
	var p process
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, p.err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); p.err != nil {
			return
		}
		p.pid, p.uid, p.gid = int(cred.Pid), int(cred.Uid), int(cred.Gid)
		p.groups, p.err = peerGroups(fd)
	})
	if err != nil {
		p.err = err
	}
	return p
}

// peerGroups asks for the groups that the peer had when it connected.
func peerGroups(fd uintptr) ([]int, error) {
	groups := make([]uint32, 64)
	for range 3 {
		size := uint32(len(groups) * 4)
		// golang.org/x/sys has no call for this option.
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			ids := make([]int, 0, size/4)
			for _, id := range groups[:size/4] {
				ids = append(ids, int(id))
			}
			return ids, nil
		case unix.ERANGE: // the kernel has put the size that it needs
			groups = make([]uint32, size/4)
		case unix.ENOPROTOOPT: // Linux before 4.13
			return nil, nil
		default:
			return nil, errno
		}
	}
	return nil, unix.ERANGE
}
