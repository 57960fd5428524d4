package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/images"
	"github.com/akri-go/akri/internal/poll"
	"github.com/akri-go/akri/internal/street"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

const (
	// streamsSettle is how long pictures come before they count, and streamsSpan how
	// long they count.
	streamsSettle = 5 * time.Second
	streamsSpan   = 20 * time.Second
	// pictureLoop is how many pictures a camera draws, to show them again and again:
	// drawing 160 a second would take more of this machine than all else.
	pictureLoop = 50
	// streamsStart is how long it may take until all cameras are shown, with all their
	// pictures.
	streamsStart = 2 * time.Minute
	// Ports on the node: of the application or the relay, and of brokers, to which
	// the number of the camera is added.
	pagePort, brokerPort, probesPort = 5000, 8100, 8200
)

// cameraCounts is for how many cameras streams are measured.
var cameraCounts = []int{1, 4, 16}

// measureStreams measures pictures on their way from simulated cameras, with ten a
// second each, through a broker for each and the video streaming application to a
// page that looks at all of them: how old they are there, and what brokers and
// application take. All are processes without a cluster. The floor is the relay.
func measureStreams(ctx context.Context, b *bench) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	samples, err := images.Find("onvif-video-broker", "video-streaming-app")
	if err != nil {
		return err
	}
	samples = append(samples, images.Image{Name: "relay", Package: "test/bench/relay"})
	dir, err := images.Compile(ctx, images.Options{Module: ".", Out: "out", Images: samples}, images.Platform{Arch: runtime.GOARCH})
	if err != nil {
		return err
	}
	n, err := openAlone(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	for _, count := range cameraCounts {
		if err := b.streams(ctx, n, dir, count); err != nil {
			return fmt.Errorf("%d cameras: %w", count, err)
		}
	}
	return nil
}

// streams measures with so many cameras: the relay first, then what is to be
// measured.
func (b *bench) streams(ctx context.Context, n *network, dir string, count int) (err error) {
	s := &streams{bench: b, network: n, dir: dir, shots: new(shots)}
	o := simulator.Options{Interface: "eth0", Port: 80, RTSPPort: 554, MaxDelay: -1, Addresses: n.devices(count),
		Loop: pictureLoop, Sent: s.shots.sent}
	err = n.Do(func() (err error) {
		if s.sim, err = simulator.New(o); err != nil {
			return err
		}
		return s.sim.Start()
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Do(s.sim.Close)) }()
	floor, err := s.measure(ctx, s.startRelay, 1)
	if err != nil {
		return fmt.Errorf("the relay: %w", err)
	}
	measured, err := s.measure(ctx, s.startSamples, 1)
	if err != nil {
		return err
	}
	s.tell(fmt.Sprintf("pictures-%d-cameras", count), measured, floor)
	if count < slices.Max(cameraCounts) {
		return nil
	}
	if floor, err = s.measure(ctx, s.startRelay, browsers); err != nil {
		return fmt.Errorf("the relay: %w", err)
	}
	if measured, err = s.measure(ctx, s.startSamples, browsers); err != nil {
		return err
	}
	s.tell(fmt.Sprintf("pictures-%d-cameras-%d-browsers", count, browsers), measured, floor)
	return nil
}

// streams are cameras, and the processes between them and a page.
type streams struct {
	*bench
	network *network
	dir     string // of the programs
	sim     *simulator.Simulator
	shots   *shots
}

// running are the processes that are measured. The application is the last.
type running struct {
	node *street.Place
	all  []*exec.Cmd
}

func (r *running) start(program string, args []string, env ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Env = append(append(os.Environ(), "LOG_LEVEL=error"), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} // with the node's thread
	if err := r.node.Do(cmd.Start); err != nil {
		return err
	}
	r.all = append(r.all, cmd)
	return nil
}

// stop ends all of them.
func (r *running) stop() (err error) {
	for _, cmd := range r.all {
		err = errors.Join(err, cmd.Process.Signal(unix.SIGTERM))
	}
	for _, cmd := range r.all {
		err = errors.Join(err, cmd.Wait())
	}
	r.node.Leave()
	return err
}

func (s *streams) startRelay(r *running) error {
	args := []string{s.page()}
	for _, c := range s.sim.Cameras() {
		args = append(args, "rtsp://"+c.Address().Addr().String()+":554/main")
	}
	return r.start(filepath.Join(s.dir, "relay"), args)
}

func (s *streams) startSamples(r *running) error {
	app := []string{fmt.Sprintf("PORT=%d", pagePort), fmt.Sprintf("CAMERA_COUNT=%d", len(s.sim.Cameras()))}
	for i, c := range s.sim.Cameras() {
		err := r.start(filepath.Join(s.dir, "ip-camera"), nil, "ONVIF_DEVICE_SERVICE_URL_ABCDEF="+c.XAddr(), "ONVIF_DEVICE_UUID_ABCDEF="+c.UUID,
			fmt.Sprintf("PORT=%d", brokerPort+i), fmt.Sprintf("METRICS_PORT=%d", probesPort+i))
		if err != nil {
			return err
		}
		app = append(app, fmt.Sprintf("CAMERA%d_SOURCE_SVC=%s:%d", i+1, s.network.node, brokerPort+i))
	}
	return r.start(filepath.Join(s.dir, "video-streaming"), nil, app...)
}

func (s *streams) page() string {
	return netip.AddrPortFrom(s.network.node, pagePort).String()
}

// taken is what was measured.
type taken struct {
	rate            float64 // pictures a second of each camera, on the page
	delays          []delay
	brokers, app    float64 // CPU time for each camera, in percent of a core
	brokerRSS, most float64 // of the first broker in MiB, and the most it had
	appRSS          float64
}

// measure starts processes, has so many browsers look, and measures for a while.
func (s *streams) measure(ctx context.Context, start func(*running) error, looking int) (t taken, err error) {
	r := new(running)
	if r.node, err = street.At(s.network.netNS); err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := start(r); err != nil {
		return t, err
	}
	cameras := len(s.sim.Cameras())
	var first *page
	for i := range looking {
		p, err := s.look(ctx, r, i == 0)
		if err != nil {
			return t, err
		}
		defer func() { err = errors.Join(err, p.close()) }()
		if i == 0 {
			first = p
		}
	}
	begun, cancel := context.WithTimeout(ctx, streamsStart)
	defer cancel()
	if err := first.shows(begun, func(shown map[string]time.Time) bool { return len(shown) == cameras }); err != nil {
		return t, err
	}
	err = poll.Until(begun, "all pictures are drawn", 100*time.Millisecond, func(context.Context) error {
		if n := s.shots.frames(); n < cameras*pictureLoop {
			return fmt.Errorf("%d of %d", n, cameras*pictureLoop)
		}
		return nil
	})
	if err == nil {
		err = backoff.Sleep(ctx, streamsSettle)
	}
	if err != nil {
		return t, err
	}
	first.take()
	began, before := time.Now(), r.cpu()
	if err := backoff.Sleep(ctx, streamsSpan); err != nil {
		return t, err
	}
	took, after := time.Since(began), r.cpu()
	came, delays := first.take()
	t.rate, t.delays = float64(came)/took.Seconds()/float64(cameras), delays
	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / took.Seconds() / float64(cameras) }
	last := len(r.all) - 1
	for i := range last {
		t.brokers += percent(after[i] - before[i])
	}
	t.app = percent(after[last] - before[last])
	if t.brokerRSS, t.most, err = processOf(r.all[0]).rss(); err == nil {
		t.appRSS, _, err = processOf(r.all[last]).rss()
	}
	return t, err
}

func processOf(cmd *exec.Cmd) process { return process(fmt.Sprintf("/proc/%d", cmd.Process.Pid)) }

func (r *running) cpu() (all []time.Duration) {
	for _, cmd := range r.all {
		all = append(all, processOf(cmd).cpu())
	}
	return all
}

// look opens a page, when the application is there. One that samples decodes some
// of the pictures.
func (s *streams) look(ctx context.Context, r *running, samples bool) (p *page, err error) {
	ctx, cancel := context.WithTimeout(ctx, streamsStart)
	defer cancel()
	var sent *shots
	if samples {
		sent = s.shots
	}
	err = poll.Until(ctx, "the page answers", 50*time.Millisecond, func(ctx context.Context) error {
		var conn net.Conn
		err := r.node.Do(func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.page())
			return err
		})
		if err != nil {
			return err
		}
		if filepath.Base(r.all[len(r.all)-1].Path) == "relay" {
			p = lookAt(conn, conn, sent)
			return nil
		}
		p, err = openPage(conn, s.page(), sent)
		return err
	})
	return p, err
}

// tell reports what was measured beside the floor.
func (s *streams) tell(name string, t, floor taken) {
	pages := func(t taken) (all []time.Duration) {
		for _, d := range t.delays {
			all = append(all, d.page)
		}
		slices.Sort(all)
		return all
	}
	var brokers []time.Duration
	for _, d := range t.delays {
		brokers = append(brokers, d.broker)
	}
	slices.Sort(brokers)
	s.report(name+"-shown", t.rate, "pictures/s-of-each", floor.rate)
	for _, q := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		s.report(name+"-camera-to-page-"+q.name, ms(quantile(pages(t), q.share)), "ms", ms(quantile(pages(floor), q.share)))
	}
	s.report(name+"-camera-to-broker-p50", ms(quantile(brokers, 0.5)), "ms", 0)
	s.report(name+"-cpu", t.brokers+t.app, "percent-of-a-core-for-each", floor.app)
	s.report(name+"-cpu-broker", t.brokers, "percent-of-a-core-for-each", 0)
	s.report(name+"-cpu-application", t.app, "percent-of-a-core-for-each", 0)
	s.report(name+"-rss-broker", t.brokerRSS, "MiB", floor.appRSS)
	s.report(name+"-rss-broker-peak", t.most, "MiB", 0)
	s.report(name+"-rss-application", t.appRSS, "MiB", floor.appRSS)
	fmt.Fprintf(os.Stderr, "%s: %d pictures were decoded\n", name, len(t.delays))
}
