package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/akri-go/akri/internal/onvif/soap"
)

// maxDials is how often one stream may connect: once, and again where a camera
// redirects or closes the connection to ask for a user.
const maxDials = 4

// stream gets pictures by RTSP (RFC 2326) as JPEG over RTP (RFC 2435), in the RTSP
// connection: so all comes from one address, and through whatever is between.
func stream(ctx context.Context, t soap.Target, o soap.Options, log *slog.Logger, put func([]byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u := *t.URL
	u.User = nil
	if o.Credentials != nil {
		u.User = url.UserPassword(o.Credentials.Username, o.Credentials.Password)
	}
	client := newClient(t, o, log)
	if err := client.Start(); err != nil {
		return fmt.Errorf("start RTSP: %w", err)
	}
	defer client.Close()
	// Close waits for the client's goroutine, in which pictures are put.
	defer context.AfterFunc(ctx, func() { client.Close() })()
	err := play(client, (*base.URL)(&u), cancel, put)
	if err == nil {
		err = client.Wait()
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return explain(err, t, o)
}

// newClient makes a client that connects to the target alone.
func newClient(t soap.Target, o soap.Options, log *slog.Logger) *gortsplib.Client {
	protocol := gortsplib.ProtocolTCP
	dials := 0
	return &gortsplib.Client{
		Scheme: t.URL.Scheme, Host: t.Address.String(), Protocol: &protocol,
		ReadTimeout: callTimeout, WriteTimeout: callTimeout, UserAgent: "akri",
		TLSConfig: &tls.Config{ServerName: t.URL.Hostname(), RootCAs: o.RootCAs, InsecureSkipVerify: o.SkipTLSVerify},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			if dials++; dials > maxDials {
				return nil, errors.New("it redirects again and again")
			}
			return (&net.Dialer{}).DialContext(ctx, network, t.Address.String())
		},
		OnResponse: withoutBasic,
		// By default these go to the log, which a camera could fill.
		OnPacketsLost:     func(lost uint64) { log.Debug("packets are lost", "number", lost) },
		OnDecodeError:     func(err error) { log.Debug("RTP", "error", err) },
		OnTransportSwitch: func(err error) { log.Debug("RTSP", "error", err) },
	}
}

// withoutBasic drops challenges that would give the password away.
func withoutBasic(r *base.Response) {
	const header = "WWW-Authenticate"
	digest := slices.DeleteFunc(slices.Clone(r.Header[header]), func(challenge string) bool {
		return len(challenge) < 6 || !strings.EqualFold(challenge[:6], "Digest")
	})
	if len(digest) == 0 {
		delete(r.Header, header)
		return
	}
	r.Header[header] = digest
}

// play sets the stream up and starts it.
func play(client *gortsplib.Client, u *base.URL, fail context.CancelCauseFunc, put func([]byte) error) error {
	session, _, err := client.Describe(u)
	if err != nil {
		return err
	}
	var jpeg *format.MJPEG
	media := session.FindFormat(&jpeg)
	if media == nil {
		return fmt.Errorf("the stream is %s, which this broker does not decode: set the profile to JPEG in the camera, or CAMERA_SOURCE=snapshot",
			codecs(session))
	}
	decoder, err := jpeg.CreateDecoder()
	if err != nil {
		return err
	}
	if _, err := client.Setup(session.BaseURL, media, 0, 0); err != nil {
		return err
	}
	var pieces frame
	bad := 0
	client.OnPacketRTP(media, jpeg, func(packet *rtp.Packet) {
		defer func() { // the packet is a stranger's, and the goroutine the library's
			if reason := recover(); reason != nil {
				fail(fmt.Errorf("decode its pictures: %v", reason))
			}
		}()
		if pieces.take(packet.Payload, packet.Marker) != nil {
			return
		}
		picture, err := decoder.Decode(packet)
		if err != nil { // it is not complete yet, or a piece is missing
			return
		}
		if err := put(picture); err == nil {
			bad = 0
		} else if bad++; bad == maxBadPictures {
			fail(fmt.Errorf("%d pictures in a row are none: %w", bad, err))
		}
	})
	_, err = client.Play(nil)
	return err
}

// codecs names what a stream has.
func codecs(d *description.Session) string {
	var names []string
	for _, m := range d.Medias {
		for _, f := range m.Formats {
			names = append(names, f.Codec())
		}
	}
	if len(names) == 0 {
		return "empty"
	}
	return strings.Join(names[:min(len(names), 4)], " and ")
}

// explain makes an error of the library one that says what to do.
func explain(err error, t soap.Target, o soap.Options) error {
	var status liberrors.ErrClientBadStatusCode
	var setup liberrors.ErrClientAuthSetup
	var refused soap.AuthError
	if o.Credentials != nil {
		refused.User, refused.NoPassword = o.Credentials.Username, o.Credentials.Password == ""
	}
	switch {
	case errors.As(err, &setup):
		refused.Reason = "it offers no digest authentication, and Basic would give the password away"
		err = &refused
	case errors.As(err, &status) && (status.Code == base.StatusUnauthorized || status.Code == base.StatusForbidden):
		err = &refused
	case err == nil:
		err = errors.New("it has ended")
	}
	return fmt.Errorf("RTSP at %s: %w", withoutUser(t.URL), err)
}
