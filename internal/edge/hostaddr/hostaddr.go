// Package hostaddr gives the machine an address of its own, which programs on it
// and its Pods reach, whatever networks it has.
//
// The address is one of the loopback interface, with all bits of its prefix: it
// needs no interface of another kind, which kernels may not have, and Linux takes
// what Pods send to it, since it takes packets for each of its addresses at each
// interface. It lasts until the machine starts anew.
package hostaddr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// loopback is the name of Linux's loopback interface.
const loopback = "lo"

// Ensure gives the machine an address, unless it has it.
func Ensure(addr netip.Addr) error {
	have, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("read the machine's addresses: %w", err)
	}
	for _, a := range have {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(addr.AsSlice()) {
			return nil
		}
	}
	lo, err := net.InterfaceByName(loopback)
	if err != nil {
		return err
	}
	switch err := add(lo.Index, addr); {
	case errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("give the machine the address %s: %w; it needs root, or CAP_NET_ADMIN", addr, err)
	case err != nil:
		return fmt.Errorf("give the machine the address %s: %w", addr, err)
	}
	return nil
}

// add gives an interface an address, over netlink.
func add(index int, addr netip.Addr) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, request(index, addr), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return err
	}
	return answer(buf[:n])
}

// request is RTM_NEWADDR, which is to be acknowledged.
func request(index int, addr netip.Addr) []byte {
	ip := addr.AsSlice()
	family, flags := unix.AF_INET, 0
	if addr.Is6() {
		family, flags = unix.AF_INET6, unix.IFA_F_NODAD // nobody else is on the loopback
	}
	ne := binary.NativeEndian
	b := make([]byte, unix.NLMSG_HDRLEN, 128)
	ne.PutUint16(b[4:], unix.RTM_NEWADDR)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b = append(b, byte(family), byte(8*len(ip)), byte(flags), unix.RT_SCOPE_UNIVERSE)
	b = ne.AppendUint32(b, uint32(index))
	for _, attribute := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		b = ne.AppendUint16(b, uint16(unix.SizeofRtAttr+len(ip)))
		b = ne.AppendUint16(b, attribute)
		b = append(b, ip...) // 4 or 16 bytes: no padding
	}
	ne.PutUint32(b, uint32(len(b)))
	return b
}

// answer is the kernel's error.
func answer(b []byte) error {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
			if errno := int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
				return unix.Errno(-errno)
			}
			return nil
		}
	}
	return errors.New("the kernel did not answer")
}
