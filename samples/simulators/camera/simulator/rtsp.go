package simulator

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/auth"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmjpeg"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/backoff"
)

// rtpPort is the UDP port of RTP of the first camera on an address; RTCP has
// the next.
const rtpPort = 20000

// rtsp serves a camera's streams: JPEG over RTP (RFC 2435), by UDP or interleaved
// in the RTSP connection. Pictures are drawn only while there are viewers.
type rtsp struct {
	camera  *Camera
	ctx     context.Context
	server  *gortsplib.Server
	streams map[string]*stream // by profile

	mu       sync.Mutex
	watchers map[*gortsplib.ServerSession]string // profile
	drawn    map[string]bool                     // profiles
	drawing  sync.WaitGroup
}

// stream is the stream of a profile. Viewers are told the next sequence number, so
// one encoder numbers all packets of the stream.
type stream struct {
	gortsplib.ServerStream
	encoder rtpmjpeg.Encoder
	last    uint32 // frame
}

// serveRTSP starts RTSP at an endpoint.
func (c *Camera) serveRTSP(ctx context.Context, e *endpoint, port uint16) error {
	address := netip.AddrPortFrom(e.at.Addr(), port)
	s := &rtsp{camera: c, ctx: ctx, streams: map[string]*stream{}, watchers: map[*gortsplib.ServerSession]string{},
		drawn: map[string]bool{}}
	var bound netip.AddrPort
	s.server = &gortsplib.Server{
		Handler:     s,
		RTSPAddress: address.String(),
		AuthMethods: []auth.VerifyMethod{auth.VerifyMethodDigestMD5},
		Listen: func(_, address string) (net.Listener, error) {
			l, err := bounded.Listen(ctx, address, bounded.Limits{Connections: maxConnections})
			if err == nil {
				bound, err = netip.ParseAddrPort(l.Addr().String())
			}
			return l, err
		},
	}
	if first := uint16(c.sim.options.RTSPPort); first != 0 {
		// Cameras that share an address have RTSP ports one after another.
		at := address.Addr()
		s.server.UDPRTPAddress = netip.AddrPortFrom(at, rtpPort+2*(port-first)).String()
		s.server.UDPRTCPAddress = netip.AddrPortFrom(at, rtpPort+2*(port-first)+1).String()
	}
	if err := s.server.Start(); err != nil {
		return fmt.Errorf("RTSP at %s: %w", address, err)
	}
	for _, p := range profiles {
		one := &stream{ServerStream: gortsplib.ServerStream{Server: s.server, Desc: &description.Session{
			Title:  c.Name,
			Medias: []*description.Media{{Type: description.MediaTypeVideo, Formats: []format.Format{&format.MJPEG{}}}},
		}}}
		err := one.encoder.Init()
		if err == nil {
			err = one.Initialize()
		}
		if err != nil {
			s.close()
			return fmt.Errorf("stream %s: %w", p.token, err)
		}
		s.streams[p.token] = one
	}
	e.rtsp = netip.AddrPortFrom(e.at.Addr(), bound.Port())
	e.serving.Go(func() {
		<-ctx.Done()
		s.close()
	})
	return nil
}

func (s *rtsp) close() {
	for _, stream := range s.streams {
		stream.Close()
	}
	s.server.Close()
	s.drawing.Wait()
}

// OnDescribe is part of gortsplib's handler.
func (s *rtsp) OnDescribe(r *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	s.camera.counts.add("stream")
	return s.admit(r.Conn, r.Request, r.Path)
}

// OnConnClose is part of gortsplib's handler.
func (s *rtsp) OnConnClose(r *gortsplib.ServerHandlerOnConnCloseCtx) {
	s.camera.sim.log.Debug("RTSP connection closed", "number", s.camera.Number, "error", r.Error)
}

// OnSetup is part of gortsplib's handler.
func (s *rtsp) OnSetup(r *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return s.admit(r.Conn, r.Request, r.Path)
}

// admit returns the stream of a path if the credentials are valid.
func (s *rtsp) admit(conn *gortsplib.ServerConn, r *base.Request, path string) (
	*base.Response, *gortsplib.ServerStream, error,
) {
	f := s.camera.Faults()
	wait := f.Slow
	if f.Silent {
		wait = hangTimeout
	}
	if wait > 0 {
		if err := backoff.Sleep(s.ctx, wait); err != nil {
			return &base.Response{StatusCode: base.StatusInternalServerError}, nil, err
		}
	}
	if g := &s.camera.guard; g.auth != AuthNone && !conn.VerifyCredentials(r, g.username, g.password) {
		s.camera.counts.add("refused")
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	stream := s.streams[strings.Trim(path, "/")]
	if stream == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, &stream.ServerStream, nil
}

// OnPlay is part of gortsplib's handler.
func (s *rtsp) OnPlay(r *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	profile := strings.Trim(r.Path, "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return &base.Response{StatusCode: base.StatusServiceUnavailable}, nil
	}
	s.watchers[r.Session] = profile
	if !s.drawn[profile] {
		s.drawn[profile] = true
		s.drawing.Go(func() { s.draw(profile) })
	}
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnPause is part of gortsplib's handler.
func (s *rtsp) OnPause(r *gortsplib.ServerHandlerOnPauseCtx) (*base.Response, error) {
	s.leave(r.Session)
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnSessionClose is part of gortsplib's handler.
func (s *rtsp) OnSessionClose(r *gortsplib.ServerHandlerOnSessionCloseCtx) { s.leave(r.Session) }

func (s *rtsp) leave(session *gortsplib.ServerSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, session)
}

// watched reports whether a profile has viewers, with s.mu held.
func (s *rtsp) watched(profile string) bool {
	for _, p := range s.watchers {
		if p == profile {
			return true
		}
	}
	return false
}

// draw sends pictures of a profile while it has viewers.
func (s *rtsp) draw(token string) {
	p, err := findProfile(token)
	ticker := time.NewTicker(time.Second / framesPerSecond)
	defer ticker.Stop()
	for err == nil {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		if !s.watched(token) {
			delete(s.drawn, token)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if !s.camera.Faults().Silent {
			err = s.send(p)
		}
	}
	if s.ctx.Err() != nil {
		return
	}
	s.camera.sim.log.Error("stream of a camera failed", "number", s.camera.Number, "profile", token, "error", err)
}

// send sends the current picture, unless it was sent: ticks may be less than a
// frame apart.
func (s *rtsp) send(p profile) error {
	stream, number := s.streams[p.token], s.camera.frame()
	if number == stream.last {
		return nil
	}
	stream.last = number
	picture, err := s.camera.picture(p, number)
	if err != nil {
		return err
	}
	if told := s.camera.sim.options.Sent; told != nil {
		told(s.camera.Number, s.camera.shown(number))
	}
	packets, err := stream.encoder.Encode(picture)
	if err != nil {
		return err
	}
	for _, packet := range packets {
		packet.Timestamp = number * (90000 / framesPerSecond) // the clock of RFC 2435
		if err := stream.WritePacketRTP(stream.Desc.Medias[0], packet); err != nil {
			return err
		}
	}
	return nil
}
