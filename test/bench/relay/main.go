// Command relay is the floor of the figures of cameras' pictures: it does what
// cannot be left out. It gets pictures from cameras by RTSP, and sends each to all
// who are connected, one after the other, as records like those of the video
// streaming application.
//
//	relay <address to listen on> <URL of a camera>...
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: relay <address> <URL>...")
	}
	listener, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var all viewers
	for i, text := range args[1:] {
		c, err := follow(text, func(jpeg []byte) { all.send(strconv.Itoa(i+1), jpeg) })
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		defer c.Close()
	}
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		all.add(conn)
	}
}

// follow gets the pictures of a camera.
func follow(text string, put func(jpeg []byte)) (*gortsplib.Client, error) {
	u, err := base.ParseURL(text)
	if err != nil {
		return nil, err
	}
	tcp := gortsplib.ProtocolTCP
	c := &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, Protocol: &tcp}
	if err := c.Start(); err != nil {
		return nil, err
	}
	if err := play(c, u, put); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func play(c *gortsplib.Client, u *base.URL, put func(jpeg []byte)) error {
	session, _, err := c.Describe(u)
	if err != nil {
		return err
	}
	var jpeg *format.MJPEG
	media := session.FindFormat(&jpeg)
	if media == nil {
		return errors.New("it has no JPEG")
	}
	decoder, err := jpeg.CreateDecoder()
	if err != nil {
		return err
	}
	if _, err := c.Setup(session.BaseURL, media, 0, 0); err != nil {
		return err
	}
	c.OnPacketRTP(media, jpeg, func(packet *rtp.Packet) {
		if picture, err := decoder.Decode(packet); err == nil {
			put(picture)
		}
	})
	_, err = c.Play(nil)
	return err
}

// viewers are all who are connected.
type viewers struct {
	mu  sync.Mutex
	all []net.Conn
}

func (v *viewers) add(c net.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = append(v.all, c)
}

// send sends a picture to all, and forgets those that have gone.
func (v *viewers) send(id string, jpeg []byte) {
	head := append([]byte{'P', byte(len(id))}, id...)
	head = binary.BigEndian.AppendUint32(head, uint32(8+len(jpeg)))
	head = binary.BigEndian.AppendUint64(head, uint64(time.Now().UnixMicro()))
	record := bytes.Join([][]byte{head, jpeg}, nil)
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.all[:0]
	for _, c := range v.all {
		if _, err := c.Write(record); err != nil {
			c.Close()
			continue
		}
		kept = append(kept, c)
	}
	v.all = kept
}
