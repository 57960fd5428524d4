package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/akri-go/akri/bounded"
)

// listen opens the address that the person asked for at once, so that an error
// is not found minutes later.
func (d *demo) listen(ctx context.Context) error {
	if d.Listen == "" {
		return nil
	}
	listener, err := bounded.Listen(ctx, d.Listen, bounded.Limits{})
	if err != nil {
		return fmt.Errorf("--listen %s: %w: write :8080, or another port that is free", d.Listen, err)
	}
	d.listener = listener
	return nil
}

// share serves the dashboard at that address until ctx is done: the node's can be
// reached from this machine only.
func (d *demo) share(ctx context.Context) error {
	if d.listener == nil {
		return nil
	}
	page, err := d.dashboardURL(ctx)
	if err != nil {
		return err
	}
	target, err := url.Parse(page)
	if err != nil {
		return err
	}
	d.shared = reachable(d.listener.Addr(), machineAddresses())
	go bounded.Serve(ctx, d.listener, &http.Server{Handler: proxyTo(target)}) // it ends with the demo
	return nil
}

func proxyTo(target *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1, // the page is an endless stream
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := http.NewResponseController(w) // the page's stream of events does not end
		if err := errors.Join(answer.SetReadDeadline(time.Time{}), answer.SetWriteDeadline(time.Time{})); err != nil && !errors.Is(err, http.ErrNotSupported) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// reachable returns the URLs under which others find what listens at an
// address.
func reachable(listening net.Addr, machine []net.IP) []string {
	a, ok := listening.(*net.TCPAddr)
	if !ok {
		return []string{"http://" + listening.String()}
	}
	ips := []net.IP{a.IP}
	if a.IP.IsUnspecified() && len(machine) > 0 {
		ips = machine
	}
	var out []string
	for _, ip := range ips {
		out = append(out, "http://"+net.JoinHostPort(ip.String(), strconv.Itoa(a.Port)))
	}
	return out
}

// machineAddresses returns those of the machine's real interfaces, IPv4 first.
func machineAddresses() (ips []net.IP) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var six []net.IP
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || strings.HasPrefix(i.Name, "akri") {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			switch n, ok := a.(*net.IPNet); {
			case !ok || !n.IP.IsGlobalUnicast():
			case n.IP.To4() != nil:
				ips = append(ips, n.IP)
			default:
				six = append(six, n.IP)
			}
		}
	}
	return append(ips, six...)
}

// pageLines say where the dashboard is, on this machine and from others. A browser
// keeps what is behind the # to itself and the page.
func pageLines(page, token string, shared []string) []string {
	open := "/#token=" + token
	if len(shared) > 0 {
		var lines []string
		for _, at := range shared[:min(len(shared), 2)] {
			lines = append(lines, "dashboard: "+at+open)
		}
		return lines
	}
	lines := []string{"dashboard: " + page + open}
	if u, err := url.Parse(page); err == nil {
		lines = append(lines, "  from yours: ssh -L 8080:"+u.Host+" <this machine>",
			"  then http://localhost:8080"+open, "  for all: akri dev demo --listen :8080")
	}
	return lines
}
