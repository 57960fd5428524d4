package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/logging"
	"github.com/akri-go/akri/internal/version"
	"github.com/akri-go/akri/samples/simulators/camera/simulator"
)

const usage = `camera simulates ONVIF cameras. They answer WS-Discovery, the device service and
the media service, and show moving pictures over HTTP and RTSP.

Usage:
  camera --interface eth0                   one camera on each IPv4 address of eth0
  camera --addresses 10.9.0.11-10.9.0.13    three cameras on addresses of this machine
  camera --addresses 192.0.2.7 --count 20   twenty cameras on one address, one port each

UUID, MAC address and serial number of a camera depend only on --seed and on its
number, so they are the same in every run.

--fault sets faults at the start. The control address takes them over HTTP:

  curl localhost:8099/cameras                              list the cameras (JSON)
  curl -d silent localhost:8099/cameras/2                  camera 2 stops answering
  curl -d 'slow=2s clock=-1h' localhost:8099/cameras/all   all are slow, with a wrong clock
  curl -d well localhost:8099/cameras/2                    remove the faults of camera 2

Faults and commands:
  well               no fault
  silent             answers nothing
  slow=2s            delays every answer
  clock=-1h          has a clock that is wrong by this much
  garbage            answers with random bytes
  endless            sends response bodies that never end
  redirect=URL       redirects requests to this URL
  bomb               answers with an XML bomb (nested entities)
  expired            has an expired certificate (with --https)
  xaddrs=URL,URL     announces these XAddrs instead of its own
  flood=10000        sends this many fake ProbeMatches for each Probe
  move=ADDRESS       changes its IP address, as with DHCP
  stop, vanish       goes away with a Bye, or without
  start              comes back
  hello              sends Hello again

It runs until SIGTERM or SIGINT, and the cameras then send Bye. After SIGKILL they
do not.

%s

Flags (with the environment variables that they default to):
`

// settings are what flags say.
type settings struct {
	options   simulator.Options
	addresses string
	control   string
	faults    []order
	level     string
}

// order is a command for some cameras.
type order struct {
	which   string // a number, or "all"
	command simulator.Command
}

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Requested(args) {
		fmt.Fprintln(out, "camera", version.String())
		return exitcode.OK
	}
	s, err := parse(args, getenv, out)
	if err == nil {
		s.options.Log, err = logging.New(errs, s.level)
	}
	var sim *simulator.Simulator
	if err == nil {
		sim, err = simulator.New(s.options)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		fmt.Fprintf(errs, "camera: %v\ncamera --help tells more.\n", err)
		return exitcode.Usage
	}
	bounded.Memory(getenv)
	if err := serve(ctx, s, sim); err != nil {
		s.options.Log.Error("camera ends", "error", err)
		return exitcode.Failed
	}
	return exitcode.OK
}

// serve runs the cameras and the control address until ctx is done.
func serve(ctx context.Context, s settings, sim *simulator.Simulator) (err error) {
	for _, o := range s.faults {
		if err := apply(sim, o); err != nil {
			return err
		}
	}
	if err := sim.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	if s.control == "" {
		<-ctx.Done()
		return nil
	}
	l, err := bounded.Listen(ctx, s.control, bounded.Limits{})
	if err != nil {
		return fmt.Errorf("control address: %w", err)
	}
	s.options.Log.Info("control endpoint is ready", "address", l.Addr().String())
	return bounded.Serve(ctx, l, &http.Server{Handler: control(sim, s.options.Log)})
}

// parse reads flags and environment.
func parse(args []string, getenv func(string) string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("camera", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	o := &s.options
	flags.StringVar(&s.addresses, "addresses", getenv("ADDRESSES"),
		"IP `addresses` of this machine: addresses, ranges and CIDRs, separated by commas (ADDRESSES)")
	flags.StringVar(&o.Interface, "interface", getenv("INTERFACE"),
		"network `interface` for multicast, and for the addresses if --addresses is not given (INTERFACE)")
	flags.IntVar(&o.Count, "count", 0, "`number` of cameras (default: as many as addresses)")
	flags.IntVar(&o.First, "first", 1, "`number` of the first camera, so that several processes share the cameras of a seed")
	flags.StringVar(&o.Seed, "seed", "akri", "`text` that UUIDs, MAC addresses and serial numbers are derived from")
	flags.IntVar(&o.Port, "port", 8000, "HTTP `port` of the first camera on an address")
	flags.IntVar(&o.RTSPPort, "rtsp-port", 8554, "RTSP `port` of the first camera on an address")
	flags.BoolVar(&o.NoRTSP, "no-rtsp", false, "disable RTSP")
	flags.BoolVar(&o.LinkLocal, "link-local", true, "also listen on the IPv6 link-local address of the interface")
	flags.BoolVar(&o.TLS, "https", false, "use HTTPS; the control address has the CA certificate at /ca.pem")
	flags.StringVar((*string)(&o.Auth), "auth", string(simulator.AuthNone),
		"how clients `authenticate`: none, token (WS-UsernameToken), digest (HTTP), or both")
	flags.StringVar(&o.Username, "username", "admin", "`user` name")
	flags.StringVar(&o.Password, "password", fallback(getenv("PASSWORD"), "akri"), "the `password` of the user (PASSWORD)")
	flags.Func("digest", "`algorithms` of HTTP digest, in order of preference: MD5, SHA-256 (default MD5)",
		func(v string) error {
			o.Algorithms = strings.Split(v, ",")
			return nil
		})
	flags.Func("scope", "additional `scope`; may be repeated", func(v string) error {
		o.Scopes = append(o.Scopes, v)
		return nil
	})
	flags.Func("fault", "`number:fault`, such as 2:silent or all:slow=2s; may be repeated", func(v string) error {
		which, words, _ := strings.Cut(v, ":")
		command, err := simulator.ParseCommand(words)
		s.faults = append(s.faults, order{which, command})
		return err
	})
	flags.StringVar(&s.control, "control", "127.0.0.1:8099", "`address` of the control endpoint; empty to disable it")
	flags.StringVar(&s.level, "log-level", fallback(getenv("LOG_LEVEL"), "info"),
		"least `level` that is logged: debug, info, warn or error (LOG_LEVEL)")

	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, exitcode.ServiceText())
		flags.SetOutput(out)
		flags.PrintDefaults()
		return s, err
	case err != nil:
		return s, err
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.addresses == "" {
		o.Addresses, err = addressesOf(o.Interface)
	} else {
		o.Addresses, err = parseAddresses(s.addresses)
	}
	return s, err
}

func fallback(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// addressesOf returns the IPv4 addresses of an interface.
func addressesOf(name string) ([]netip.Addr, error) {
	if name == "" {
		return nil, errors.New("no addresses: use --interface or --addresses")
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	var list []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			list = append(list, p.Addr())
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("interface %s has no IPv4 address: add one (ip addr add) or use --addresses", name)
	}
	return list, nil
}

// parseAddresses reads "10.9.0.1,10.9.0.11-10.9.0.13,10.9.1.0/28". Of an IPv4
// network of more than two addresses the first and the last are left out.
func parseAddresses(text string) ([]netip.Addr, error) {
	var list []netip.Addr
	for _, part := range strings.Split(text, ",") {
		first, last, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", part, err)
		}
		for a := first; ; a = a.Next() {
			if len(list) == simulator.MaxCameras {
				return nil, fmt.Errorf("%q has more than %d addresses", text, simulator.MaxCameras)
			}
			list = append(list, a)
			if a == last {
				break
			}
		}
	}
	return list, nil
}

// parseRange reads one address, a range or a network.
func parseRange(text string) (first, last netip.Addr, err error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		first := prefix.Masked().Addr()
		last := first.AsSlice()
		for bit := prefix.Bits(); bit < first.BitLen(); bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		end, _ := netip.AddrFromSlice(last)
		if first.Is4() && prefix.Bits() < 31 {
			return first.Next(), end.Prev(), nil
		}
		return first, end, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if first, err = netip.ParseAddr(from); err != nil || !isRange {
		return first, first, err
	}
	if last, err = netip.ParseAddr(to); err == nil && (last.Less(first) || first.BitLen() != last.BitLen()) {
		err = errors.New("the range ends before it begins")
	}
	return first, last, err
}

// apply runs a command on the cameras that it names.
func apply(sim *simulator.Simulator, o order) error {
	cameras, err := choose(sim, o.which)
	for _, c := range cameras {
		err = errors.Join(err, c.Do(o.command))
	}
	return err
}

// choose returns the camera of a number, or all cameras for "all".
func choose(sim *simulator.Simulator, which string) ([]*simulator.Camera, error) {
	if which == "all" {
		return sim.Cameras(), nil
	}
	number, err := strconv.Atoi(which)
	if err != nil {
		return nil, fmt.Errorf("camera %q: want a number or all", which)
	}
	c, err := sim.Camera(number)
	if err != nil {
		return nil, err
	}
	return []*simulator.Camera{c}, nil
}

// logCommand logs a command and its outcome.
func logCommand(log *slog.Logger, which, words string, err error) {
	if err != nil {
		log.Warn("a command failed", "camera", which, "command", words, "error", err)
		return
	}
	log.Info("command", "camera", which, "command", words)
}
