// Command init is the first process of a guest (test/vm/guest). It prepares the
// machine, and then runs what it is told (test/vm/wire). As a command in the guest
// it does what there is no other program for:
//
//	/init load vivid n_devs=1          load a kernel module
//	/init unload vivid                 and unload it
//	/init write /sys/a/file text       write into a file
//	/init mount tmpfs /a/folder        mount a file system
//	/init control /dev/video0 Hue 10   set a control of a camera
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/test/vm/wire"
)

func main() {
	if os.Getpid() != 1 {
		if err := command(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "init:", err)
			os.Exit(1)
		}
		return
	}
	// Whoever runs the guest reads the reason on its console.
	fmt.Println(wire.FailedPrefix + boot().Error())
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// boot runs the guest, and returns why it cannot.
func boot() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}} {
		if err := mount(m.kind, m.at); err != nil {
			return err
		}
	}
	list, err := os.ReadFile(wire.ModulesFile)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		path, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err := load(path, parameters); err != nil {
			return err
		}
	}
	if err := errors.Join(up("lo", net.IPv4(127, 0, 0, 1), 8), up("eth0", net.ParseIP(wire.Address), 24)); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", wire.Port))
	if err != nil {
		return err
	}
	fmt.Println(wire.ReadyLine)
	server := &http.Server{Handler: wire.Handler(), ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// up gives an interface an address.
func up(name string, address net.IP, ones int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, step := range []struct {
		request uint
		set     func(*unix.Ifreq) error
	}{
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address.To4()) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.CIDRMask(ones, 32)) }},
		{unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil }},
	} {
		r, err := unix.NewIfreq(name)
		if err == nil {
			err = step.set(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, step.request, r)
		}
		if err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
	}
	return nil
}
