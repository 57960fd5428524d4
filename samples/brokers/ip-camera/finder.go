package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/akri-go/akri/internal/onvif/soap"
	"github.com/akri-go/akri/internal/onvif/users"
)

const (
	// startTimeout is how long it may take from the first question to a picture.
	startTimeout = 40 * time.Second
	// refusedPause is how long a user whom the camera has refused is not tried again:
	// cameras lock accounts.
	refusedPause = 2 * time.Minute
)

// finder finds a camera's pictures. Each time that it is asked it asks the camera
// anew, so it follows an address of pictures that changes.
type finder struct {
	settings settings
	log      *slog.Logger

	next    int // which way is tried next
	refused struct {
		user users.User
		at   time.Time
		err  error
	}
}

// source is a [camera.Source].
func (f *finder) source(ctx context.Context, put func([]byte) error) error {
	known, err := readCredentials(f.settings.directories)
	if err != nil {
		return err
	}
	options := soap.Options{Credentials: f.settings.user, RootCAs: known.Roots, SkipTLSVerify: f.settings.skipTLSVerify, Timeout: callTimeout}
	if options.Credentials == nil {
		options.Credentials = known.Of(f.settings.uuid)
	}
	if err := f.stillRefused(options.Credentials); err != nil {
		return err
	}
	err = f.open(ctx, options, put)
	if soap.IsAuth(err) {
		f.refused.user, f.refused.at, f.refused.err = named(options.Credentials), time.Now(), err
		return fmt.Errorf("%w: correct CAMERA_USERNAME and CAMERA_PASSWORD, or the Secret that is mounted at CREDENTIAL_DIRECTORY", err)
	}
	return err
}

func named(user *users.User) users.User {
	if user == nil {
		return users.User{}
	}
	return *user
}

// stillRefused returns why the camera is not asked at present: it has refused the
// same user a short time ago.
func (f *finder) stillRefused(user *users.User) error {
	if f.refused.err != nil && f.refused.user == named(user) && time.Since(f.refused.at) < refusedPause {
		return f.refused.err
	}
	f.refused.err = nil
	return nil
}

// open gets pictures in the way whose turn it is. If none come, it is another's turn.
func (f *finder) open(ctx context.Context, o soap.Options, put func([]byte) error) error {
	switch s := f.settings; {
	case s.rtsp != nil:
		return f.get(ctx, byRTSP, s.rtsp, netip.Addr{}, o, put)
	case s.snapshot != nil:
		return f.get(ctx, bySnapshot, s.snapshot, netip.Addr{}, o, put)
	}
	w, u, at, err := f.ask(ctx, o)
	if err != nil {
		if w != (way{}) && !soap.IsAuth(err) {
			f.next++
		}
		return fmt.Errorf("ask the camera at %s: %w", withoutUser(f.settings.service), err)
	}
	f.log.Debug("the camera has said where its pictures are", "way", w.String(), "url", withoutUser(u))
	came := false
	err = f.get(ctx, w.kind, u, at, o, func(jpeg []byte) error {
		err := put(jpeg)
		came = came || err == nil
		return err
	})
	if !came && !soap.IsAuth(err) {
		f.next++
	}
	return fmt.Errorf("%s: %w", w, err)
}

// ask asks the camera where the pictures are in the way whose turn it is. All that
// is called is at the address of the device service, whatever the camera says: so
// it can lead the broker nowhere else, and cameras that do not know their own
// address work. With an error, the way is the one that it is about, if any.
func (f *finder) ask(ctx context.Context, o soap.Options) (w way, u *url.URL, at netip.Addr, err error) {
	target, err := resolve(ctx, f.settings.service)
	if err != nil {
		return w, nil, at, err
	}
	at = target.Address.Addr()
	device := soap.NewClient(target, o)
	defer device.Close()
	// A camera without a clock is asked all the same.
	ahead, err := soap.Clock(ctx, device)
	if err != nil && !answers(err) {
		return w, nil, at, err
	}
	device.SetClock(ahead)
	where, err := askServices(ctx, device)
	if err != nil {
		return w, nil, at, err
	}
	mediaURL, err := moved(where, at)
	if err != nil {
		return w, nil, at, fmt.Errorf("the URL of its media service: %w", err)
	}
	media := soap.NewClient(soap.Target{URL: mediaURL, Address: addressOf(mediaURL, at)}, o)
	defer media.Close()
	media.SetClock(ahead)
	told, err := soap.Call[profiles](ctx, media, soap.AsUser, getProfiles{})
	if err != nil {
		return w, nil, at, fmt.Errorf("ask for its profiles: %w", err)
	}
	list, err := ways(told.All, f.settings)
	if err != nil {
		return w, nil, at, err
	}
	w = list[f.next%len(list)]
	text, err := askURI(ctx, media, w)
	if err != nil {
		return w, nil, at, fmt.Errorf("ask for the URL of %s: %w", w, err)
	}
	if u, err = moved(text, at); err != nil {
		err = fmt.Errorf("the URL of %s: %w", w, err)
	}
	return w, u, at, err
}

// answers tells whether an error is the answer of a service that speaks SOAP.
func answers(err error) bool {
	var fault *soap.Fault
	return soap.IsAuth(err) || errors.As(err, &fault)
}

// moved reads a URL that a camera has named, and moves it to the camera's address.
// The port stays.
func moved(text string, at netip.Addr) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || defaultPort(u.Scheme) == 0 {
		return nil, fmt.Errorf("%.128q is no URL of http, https, rtsp or rtsps", text)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%.128q has no port", text)
		}
	}
	u.User = nil
	u.Host = net.JoinHostPort(at.WithZone("").String(), strconv.Itoa(int(portOf(u))))
	return u, nil
}

func defaultPort(scheme string) uint16 {
	return map[string]uint16{"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}[scheme]
}

func portOf(u *url.URL) uint16 {
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(n)
	}
	return defaultPort(u.Scheme)
}

func addressOf(u *url.URL, at netip.Addr) netip.AddrPort { return netip.AddrPortFrom(at, portOf(u)) }

// resolve finds the address of a URL that the Pod was given.
func resolve(ctx context.Context, u *url.URL) (soap.Target, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return soap.Target{}, fmt.Errorf("look up %q: %w", u.Hostname(), err)
	}
	return soap.Target{URL: u, Address: addressOf(u, addresses[0].Unmap())}, nil
}

// get gets pictures from a URL: at the camera's address, or where the URL says.
func (f *finder) get(ctx context.Context, k kind, u *url.URL, at netip.Addr, o soap.Options, put func([]byte) error) error {
	target := soap.Target{URL: u, Address: addressOf(u, at)}
	if !at.IsValid() {
		var err error
		if target, err = resolve(ctx, u); err != nil {
			return err
		}
		if password, ok := u.User.Password(); ok && o.Credentials == nil {
			o.Credentials = &users.User{Username: u.User.Username(), Password: password}
		}
	}
	if k == byRTSP {
		return stream(ctx, target, o, f.log, put)
	}
	return snapshots(ctx, target, o, time.Second/time.Duration(f.settings.perSecond), put)
}
