package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// command does one of the things that are listed in this program's doc.
func command(args []string) error {
	if len(args) < 2 {
		return errors.New("want load, unload, write, mount or control, and what")
	}
	switch rest := args[2:]; {
	case args[0] == "load":
		return load("/lib/modules/"+args[1]+".ko", strings.Join(rest, " "))
	case args[0] == "unload":
		if err := unix.DeleteModule(args[1], unix.O_NONBLOCK); err != nil {
			return fmt.Errorf("unload %s: %w", args[1], err)
		}
		return nil
	case args[0] == "write" && len(rest) == 1:
		return os.WriteFile(args[1], []byte(rest[0]), 0o600)
	case args[0] == "mount" && len(rest) == 1:
		return mount(args[1], rest[0])
	case args[0] == "control" && len(rest) == 2:
		value, err := strconv.ParseInt(rest[1], 0, 32)
		if err != nil {
			return err
		}
		return control(args[1], rest[0], int32(value))
	}
	return fmt.Errorf("%q is not a command", args)
}

// mount mounts a file system that has no device.
func mount(kind, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, at, kind, 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	return nil
}

// load loads a kernel module.
func load(path, parameters string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), parameters, 0); err != nil {
		return fmt.Errorf("load %s %s: %w", path, parameters, err)
	}
	return nil
}

// queryControl is v4l2_queryctrl, and controlValue v4l2_control:
// include/uapi/linux/videodev2.h.
type queryControl struct {
	id, kind uint32
	name     [32]byte
	_        [4]int32 // minimum, maximum, step, default
	_        [3]uint32
}

type controlValue struct {
	id    uint32
	value int32
}

const nextControl = 0x80000000 // V4L2_CTRL_FLAG_NEXT_CTRL

// control sets a control of a camera, which is found by its name.
func control(node, name string, value int32) error {
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	q := queryControl{}
	for {
		q = queryControl{id: q.id | nextControl}
		if err := ioctl(f, 36, unsafe.Sizeof(q), unsafe.Pointer(&q)); err != nil {
			return fmt.Errorf("%s has no control %s: %w", node, name, err)
		}
		if string(bytes.TrimRight(q.name[:], "\x00")) == name {
			break
		}
	}
	c := controlValue{q.id, value}
	if err := ioctl(f, 28, unsafe.Sizeof(c), unsafe.Pointer(&c)); err != nil {
		return fmt.Errorf("%s: set %s to %d: %w", node, name, value, err)
	}
	return nil
}

// ioctl makes a request of V4L2 that reads and writes its argument.
func ioctl(f *os.File, number, size uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), 3<<30|size<<16|'V'<<8|number, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
