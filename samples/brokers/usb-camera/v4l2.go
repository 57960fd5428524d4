package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures and numbers are those of include/uapi/linux/videodev2.h. Layouts
// are the architecture's, as Go makes them of the same fields; "_" is what is not
// used here.

type capability struct {
	_            [16]byte // driver
	card         [32]byte
	_            [32]byte // bus_info
	_            uint32   // version
	capabilities uint32
	deviceCaps   uint32
	_            [3]uint32
}

type fmtDesc struct {
	index, kind uint32
	_           uint32   // flags
	_           [32]byte // description
	pixelFormat fourCC
	_           [4]uint32 // mbus_code, reserved
}

type frameSizeEnum struct {
	index       uint32
	pixelFormat fourCC
	kind        uint32
	// Discrete: width and height. Else least and greatest width, step, and the same of
	// the height.
	size [6]uint32
	_    [2]uint32
}

type pixFormat struct {
	width, height uint32
	pixelFormat   fourCC
	_             uint32 // field
	bytesPerLine  uint32
	_             uint32 // sizeimage
	colorSpace    uint32
	_             [3]uint32 // priv, flags, ycbcr_enc
	quantization  uint32
	_             uint32 // xfer_func
}

// formatArg is v4l2_format: a union of 200 bytes, aligned like a pointer, of which
// pix is one kind.
type formatArg struct {
	kind uint32
	_    [unsafe.Sizeof(uintptr(0)) - 4]byte
	pix  pixFormat
	_    [200 - unsafe.Sizeof(pixFormat{})]byte
}

type requestBuffers struct {
	count, kind, memory uint32
	_                   [2]uint32 // capabilities, flags
}

type buffer struct {
	index, kind, bytesUsed, flags uint32
	_                             uint32 // field
	timestamp                     unix.Timeval
	_                             [5]uint32 // timecode, sequence
	memory                        uint32
	offset                        uintptr // of a union
	length                        uint32
	_                             [2]uint32 // reserved2, request_fd
}

type streamParm struct {
	kind                   uint32
	_                      [2]uint32 // capability, capturemode
	numerator, denominator uint32
	_                      [200 - 4*4]byte
}

const (
	kindCapture   = 1 // V4L2_BUF_TYPE_VIDEO_CAPTURE
	memoryMmap    = 1
	sizeDiscrete  = 1
	capCapture    = 0x1
	capPlanes     = 0x1000 // V4L2_CAP_VIDEO_CAPTURE_MPLANE
	capStreaming  = 0x4000000
	capDeviceCaps = 0x80000000
	fullRange     = 1 // V4L2_QUANTIZATION_FULL_RANGE
	spaceJPEG     = 7 // V4L2_COLORSPACE_JPEG
	flagError     = 0x40
)

// Requests of ioctl(2): include/uapi/asm-generic/ioctl.h.
const (
	dirWrite, dirRead = 1, 2
	dirBoth           = dirWrite | dirRead
)

func request(direction, number, size uintptr) uintptr {
	return direction<<30 | size<<16 | 'V'<<8 | number
}

var (
	queryCap   = request(dirRead, 0, unsafe.Sizeof(capability{}))
	enumFmt    = request(dirBoth, 2, unsafe.Sizeof(fmtDesc{}))
	setFmt     = request(dirBoth, 5, unsafe.Sizeof(formatArg{}))
	reqBufs    = request(dirBoth, 8, unsafe.Sizeof(requestBuffers{}))
	queryBuf   = request(dirBoth, 9, unsafe.Sizeof(buffer{}))
	queueBuf   = request(dirBoth, 15, unsafe.Sizeof(buffer{}))
	dequeueBuf = request(dirBoth, 17, unsafe.Sizeof(buffer{}))
	streamOn   = request(dirWrite, 18, 4)
	streamOff  = request(dirWrite, 19, 4)
	setParm    = request(dirBoth, 22, unsafe.Sizeof(streamParm{}))
	enumSizes  = request(dirBoth, 74, unsafe.Sizeof(frameSizeEnum{}))
)

// ioctl asks the kernel, and again if a signal came between.
func ioctl[T any](fd int, request uintptr, arg *T) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// node is a device node of V4L2 that captures into memory that it shares with us.
type node struct {
	fd      int
	buffers [][]byte
	on      bool
}

// wantedBuffers is how many pictures the driver may have at a time. It needs two to
// go on while one is looked at.
const (
	wantedBuffers = 4
	maxBuffers    = 32
	maxEntries    = 256 // of what a driver lists
)

// openNode opens a device node.
func openNode(path string) (device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	n := &node{fd: fd}
	var c capability
	if err := ioctl(fd, queryCap, &c); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is no device of V4L2: %w", path, err), n.Close())
	}
	caps := c.capabilities
	if caps&capDeviceCaps != 0 {
		caps = c.deviceCaps // those of this node, of several that the camera may have
	}
	if why := unusable(caps); why != "" {
		return nil, errors.Join(fmt.Errorf("%s (%s) %s", path, bytes.TrimRight(c.card[:], "\x00"), why), n.Close())
	}
	return n, nil
}

// unusable says why a node with some capabilities is of no use; "" if it is.
func unusable(caps uint32) string {
	switch {
	case caps&capCapture != 0 && caps&capStreaming != 0:
		return ""
	case caps&capPlanes != 0:
		return "gives pictures in several planes of memory, which this broker cannot read: its driver is one of a board's own camera, not of USB"
	case caps&capCapture != 0:
		return "cannot stream into shared memory, as this broker needs it"
	}
	return `captures no pictures: another node of the camera does (udev rule ATTR{index}=="0")`
}

// Offers lists what the camera can.
func (n *node) Offers() []offer {
	var list []offer
	for i := range uint32(maxEntries) {
		d := fmtDesc{index: i, kind: kindCapture}
		if ioctl(n.fd, enumFmt, &d) != nil {
			break // EINVAL after the last one
		}
		list = append(list, offer{d.pixelFormat, n.sizes(d.pixelFormat)})
	}
	return list
}

func (n *node) sizes(f fourCC) []sizes {
	var list []sizes
	for i := range uint32(maxEntries) {
		e := frameSizeEnum{index: i, pixelFormat: f}
		if ioctl(n.fd, enumSizes, &e) != nil {
			break
		}
		s := e.size
		if e.kind == sizeDiscrete {
			list = append(list, sizes{s[0], s[0], 1, s[1], s[1], 1})
			continue
		}
		return append(list, sizes{s[0], s[1], max(s[2], 1), s[3], s[4], max(s[5], 1)})
	}
	return list
}

// Set asks for a mode, and returns the one that the driver has chosen.
func (n *node) Set(want mode, perSecond int) (mode, error) {
	f := formatArg{kind: kindCapture, pix: pixFormat{width: want.width, height: want.height, pixelFormat: want.format}}
	if err := ioctl(n.fd, setFmt, &f); err != nil {
		return mode{}, fmt.Errorf("set %s: %w", want, err)
	}
	// Not all cameras can be told how many pictures to give.
	p := streamParm{kind: kindCapture, numerator: 1, denominator: uint32(perSecond)}
	_ = ioctl(n.fd, setParm, &p)
	return mode{format: f.pix.pixelFormat, width: f.pix.width, height: f.pix.height, stride: f.pix.bytesPerLine,
		full: f.pix.quantization == fullRange || f.pix.quantization == 0 && f.pix.colorSpace == spaceJPEG}, nil
}

// Start begins to capture.
func (n *node) Start() error {
	r := requestBuffers{count: wantedBuffers, kind: kindCapture, memory: memoryMmap}
	if err := ioctl(n.fd, reqBufs, &r); err != nil {
		return fmt.Errorf("ask for buffers: %w", err)
	}
	if r.count == 0 || r.count > maxBuffers {
		return fmt.Errorf("the driver has %d buffers", r.count)
	}
	for i := range r.count {
		b := buffer{index: i, kind: kindCapture, memory: memoryMmap}
		if err := ioctl(n.fd, queryBuf, &b); err != nil {
			return fmt.Errorf("look at buffer %d: %w", i, err)
		}
		memory, err := unix.Mmap(n.fd, int64(uint32(b.offset)), int(b.length), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("map buffer %d: %w", i, err)
		}
		n.buffers = append(n.buffers, memory)
		if err := n.queue(i); err != nil {
			return err
		}
	}
	kind := uint32(kindCapture)
	if err := ioctl(n.fd, streamOn, &kind); err != nil {
		return fmt.Errorf("start the stream: %w", err)
	}
	n.on = true
	return nil
}

func (n *node) queue(index uint32) error {
	b := buffer{index: index, kind: kindCapture, memory: memoryMmap}
	if err := ioctl(n.fd, queueBuf, &b); err != nil {
		return fmt.Errorf("give buffer %d to the driver: %w", index, err)
	}
	return nil
}

// dequeue returns the index and the length of the oldest picture; EAGAIN if there is
// none.
func (n *node) dequeue() (index, length uint32, damaged bool, err error) {
	b := buffer{kind: kindCapture, memory: memoryMmap}
	if err := ioctl(n.fd, dequeueBuf, &b); err != nil {
		return 0, 0, false, err
	}
	if int(b.index) >= len(n.buffers) || int(b.bytesUsed) > len(n.buffers[b.index]) {
		return 0, 0, false, fmt.Errorf("the driver names buffer %d with %d bytes, which is not there", b.index, b.bytesUsed)
	}
	return b.index, b.bytesUsed, b.flags&flagError != 0, nil
}

// pollInterval is how often it is looked whether the broker ends.
const pollInterval = 500 * time.Millisecond

// Next waits for a picture and calls use with the newest. The bytes are the
// driver's again when use returns.
func (n *node) Next(ctx context.Context, use func([]byte) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		wait := []unix.PollFd{{Fd: int32(n.fd), Events: unix.POLLIN}}
		ready, err := unix.Poll(wait, int(pollInterval/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for a picture: %w", err)
		case ready == 0:
			continue
		}
		index, length, damaged, err := n.newest()
		switch {
		case errors.Is(err, unix.EAGAIN) && wait[0].Revents&unix.POLLIN != 0:
			continue
		case err != nil:
			return fmt.Errorf("take a picture: %w", err) // ENODEV: it was unplugged
		case damaged || length == 0: // by what was lost on the bus; the next one comes
			err = n.queue(index)
		default:
			err = errors.Join(use(n.buffers[index][:length]), n.queue(index))
			return err
		}
		if err != nil {
			return err
		}
	}
}

// newest takes all pictures that are there, and gives all but the last back.
func (n *node) newest() (index, length uint32, damaged bool, err error) {
	index, length, damaged, err = n.dequeue()
	for err == nil {
		next, l, d, again := n.dequeue()
		if again != nil {
			return index, length, damaged, nil // what is wrong is said the next time
		}
		if err = n.queue(index); err == nil {
			index, length, damaged = next, l, d
		}
	}
	return 0, 0, false, err
}

// Close gives everything back.
func (n *node) Close() error {
	var err error
	if n.on {
		kind := uint32(kindCapture)
		_ = ioctl(n.fd, streamOff, &kind) // an unplugged camera has stopped
	}
	for _, b := range n.buffers {
		err = errors.Join(err, unix.Munmap(b))
	}
	n.buffers = nil
	return errors.Join(err, unix.Close(n.fd))
}
