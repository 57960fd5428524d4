// Package cameras has simulated network cameras on the street of a cluster, which
// people plug in and unplug: each is a process of the camera simulator with an
// address of its own. They end with the program that has made them.
package cameras

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
	"github.com/akri-go/akri/internal/street"
)

const (
	// Max is how many cameras there can be.
	Max = 16
	// port is that of a camera's device service.
	port = 80
	// startTimeout is how long a camera may take until it answers.
	startTimeout = time.Minute
	// stopTimeout is how long it may take to say Bye and end.
	stopTimeout = 5 * time.Second
)

// ErrFull says that there are [Max] cameras already.
var ErrFull = fmt.Errorf("there are %d cameras, and no more addresses", Max)

// Cameras are those on one street.
type Cameras struct {
	program string
	street  *street.Street
	address func(i int) netip.Addr
	log     io.WriteCloser

	mu      sync.Mutex
	running map[int]*camera // by number, from 1
}

type camera struct {
	process *os.Process
	ended   chan struct{}
}

// Open builds the simulator from a checkout and makes the street of a cluster,
// without cameras.
func Open(ctx context.Context, cluster *devcluster.Cluster, repo string) (*Cameras, error) {
	simulator, err := images.Find("camera-simulator")
	if err != nil {
		return nil, err
	}
	dir, err := images.Compile(ctx, images.Options{Module: repo, Out: filepath.Join(repo, "out"), Images: simulator}, images.Platform{Arch: runtime.GOARCH})
	if err != nil {
		return nil, fmt.Errorf("build the camera simulator: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(cluster.Logs(), "cameras.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	s, err := cluster.OpenStreet(ctx, Max)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &Cameras{program: filepath.Join(dir, simulator[0].Program()), street: s, address: cluster.Network().Street, log: log,
		running: map[int]*camera{}}, nil
}

// Numbers returns the numbers of the cameras that run.
func (c *Cameras) Numbers() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.running))
}

// Plug starts the camera of the lowest free number, and waits until it answers.
func (c *Cameras) Plug(ctx context.Context) (number int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number = 1; c.running[number] != nil; number++ {
	}
	if number > Max {
		return 0, ErrFull
	}
	at := c.address(number - 1)
	cmd := exec.Command(c.program, "--addresses", at.String(), "--interface", "eth0", "--first", strconv.Itoa(number),
		"--port", strconv.Itoa(port), "--link-local=false", "--control=")
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, // Ctrl-C is for us: a camera that is to go is told so
		// It ends with the thread of the street, and that with this program.
		Pdeathsig: syscall.SIGKILL,
	}
	if err := c.street.Do(cmd.Start); err != nil {
		return 0, fmt.Errorf("start camera %d: %w", number, err)
	}
	started := &camera{process: cmd.Process, ended: make(chan struct{})}
	go func() {
		defer close(started.ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := started.answers(ctx, netip.AddrPortFrom(at, port)); err != nil {
		started.stop()
		return 0, fmt.Errorf("start camera %d: %w", number, err)
	}
	c.running[number] = started
	return number, nil
}

// answers waits until a camera accepts connections.
func (c *camera) answers(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return poll.Until(ctx, "it answers", 20*time.Millisecond, func(ctx context.Context) error {
		select {
		case <-c.ended:
			return poll.Fatal(errors.New("it has ended: cameras.log among the cluster's logs says why"))
		default:
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Unplug stops the camera of the greatest number, which says Bye. It returns the
// number; 0 if there is none.
func (c *Cameras) Unplug() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := 0
	for number := range c.running {
		last = max(last, number)
	}
	if last > 0 {
		c.running[last].stop()
		delete(c.running, last)
	}
	return last
}

func (c *camera) stop() {
	_ = c.process.Signal(syscall.SIGTERM) // it may have ended by itself
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		_ = c.process.Kill()
		<-c.ended
	}
}

// Close unplugs all cameras and takes the street away.
func (c *Cameras) Close() error {
	for c.Unplug() > 0 {
	}
	return errors.Join(c.street.Close(), c.log.Close())
}
