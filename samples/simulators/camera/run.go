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

const usage = `camera is a number of ONVIF cameras that do not exist. They are found by
WS-Discovery, say who they are, and show moving pictures over HTTP and RTSP.

Usage:
  camera --interface eth0                          one on each address of eth0
  camera --addresses 10.9.0.11-10.9.0.13           three, on addresses that are here
  camera --addresses 192.0.2.7 --count 20          twenty on one address, a port each

Which camera is which follows from --seed and its number alone: it has the same
UUID, MAC address and serial number in every run.

What goes wrong is told by --fault, or later over HTTP to the control address:

  curl localhost:8099/cameras                      all cameras, as JSON
  curl -d silent localhost:8099/cameras/2          camera 2 answers nothing
  curl -d 'slow=2s clock=-1h' localhost:8099/cameras/all
  curl -d well localhost:8099/cameras/2            as it was

  well               nothing is wrong
  silent             it answers nothing at all
  slow=2s            its answers come so much later
  clock=-1h          its clock is wrong
  garbage            its answers are random bytes
  endless            the bodies of its answers never end
  redirect=URL       it sends requests on to another host
  bomb               its answers have entities that grow without bounds
  expired            its certificate has expired (with --https)
  xaddrs=URL,URL     it says that its addresses are these
  flood=10000        to each probe come so many answers of others
  move=ADDRESS       it changes its address, as by DHCP
  stop, vanish       it goes with Bye, or without
  start              it comes back
  hello              it says Hello once more

It runs until it gets SIGTERM or SIGINT; the cameras say Bye then. After SIGKILL
they do not.

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

// order is a command to some cameras.
type order struct {
	which   string // a number, or "all"
	command simulator.Command
}

// run does everything and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, out, errs io.Writer) int {
	if version.Asked(args) {
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
		if err := obey(sim, o); err != nil {
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
	s.options.Log.Info("faults can be told", "address", l.Addr().String())
	return bounded.Serve(ctx, l, &http.Server{Handler: control(sim, s.options.Log)})
}

// parse reads flags and environment.
func parse(args []string, getenv func(string) string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("camera", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	o := &s.options
	flags.StringVar(&s.addresses, "addresses", getenv("ADDRESSES"),
		"IP `addresses` of this machine: a list with commas of single ones, ranges and networks (ADDRESSES)")
	flags.StringVar(&o.Interface, "interface", getenv("INTERFACE"),
		"network `interface`: of the addresses, if none are given, and where the cameras multicast (INTERFACE)")
	flags.IntVar(&o.Count, "count", 0, "`number` of cameras (default: as many as addresses)")
	flags.StringVar(&o.Seed, "seed", "akri", "`text` that their UUIDs and the like follow from")
	flags.IntVar(&o.Port, "port", 8000, "HTTP `port` of the first camera on an address")
	flags.IntVar(&o.RTSPPort, "rtsp-port", 8554, "RTSP `port` of the first camera on an address")
	flags.BoolVar(&o.NoRTSP, "no-rtsp", false, "no streams")
	flags.BoolVar(&o.LinkLocal, "link-local", true, "on the IPv6 link-local address of the interface, too")
	flags.BoolVar(&o.TLS, "https", false, "HTTPS, with certificates that nobody knows")
	flags.StringVar((*string)(&o.Auth), "auth", string(simulator.AuthNone),
		"how clients `authenticate`: none, token (WS-UsernameToken), digest (HTTP), or both")
	flags.StringVar(&o.Username, "username", "admin", "`user` that the cameras know")
	flags.StringVar(&o.Password, "password", fallback(getenv("PASSWORD"), "akri"), "the user's `password` (PASSWORD)")
	flags.Func("digest", "`algorithms` of HTTP digest in the order of preference: MD5, SHA-256 (default MD5)",
		func(v string) error {
			o.Algorithms = strings.Split(v, ",")
			return nil
		})
	flags.Func("scope", "a further `scope`; may be repeated", func(v string) error {
		o.Scopes = append(o.Scopes, v)
		return nil
	})
	flags.Func("fault", "`number:fault`, such as 2:silent or all:slow=2s; may be repeated", func(v string) error {
		which, words, _ := strings.Cut(v, ":")
		command, err := simulator.ParseCommand(words)
		s.faults = append(s.faults, order{which, command})
		return err
	})
	flags.StringVar(&s.control, "control", "127.0.0.1:8099", "`address` of the control endpoint; empty for none")
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
		return s, fmt.Errorf("what is %q for?", flags.Arg(0))
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
		return nil, errors.New("say where the cameras are: --interface or --addresses")
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
		return nil, fmt.Errorf("interface %s has no IPv4 address: give it one (ip addr add), or say --addresses", name)
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

// obey has the cameras that are meant do what they are told.
func obey(sim *simulator.Simulator, o order) error {
	cameras, err := choose(sim, o.which)
	for _, c := range cameras {
		err = errors.Join(err, c.Do(o.command))
	}
	return err
}

// choose returns the cameras that a number or "all" means.
func choose(sim *simulator.Simulator, which string) ([]*simulator.Camera, error) {
	if which == "all" {
		return sim.Cameras(), nil
	}
	number, err := strconv.Atoi(which)
	if err != nil {
		return nil, fmt.Errorf("camera %q: say a number, or all", which)
	}
	c, err := sim.Camera(number)
	if err != nil {
		return nil, err
	}
	return []*simulator.Camera{c}, nil
}

// logged says in the log what was told.
func logged(log *slog.Logger, which, words string, err error) {
	if err != nil {
		log.Warn("a command failed", "camera", which, "command", words, "error", err)
		return
	}
	log.Info("told", "camera", which, "command", words)
}
