package main

import (
	"errors"
	"fmt"

	"github.com/akri-go/akri/samples/camera"
)

// frame watches over the pieces of a picture that come in RTP packets, of which
// the decoder keeps each until the last has come: none may be empty, and together
// they must not be too large or too many.
type frame struct {
	bytes, pieces int
}

// Limits of a picture in pieces. A piece fills a packet, but for the last one.
const (
	headerBytes = 8 // RFC 2435, section 3.1
	maxPieces   = camera.MaxFrameBytes / 512
)

// take looks at the payload of a packet before it is decoded. Marker says that it
// is the last of its picture.
func (f *frame) take(payload []byte, marker bool) error {
	if len(payload) <= headerBytes {
		return errors.New("a piece of a picture is empty")
	}
	offset := int(payload[1])<<16 | int(payload[2])<<8 | int(payload[3])
	if offset == 0 {
		*f = frame{}
	}
	f.bytes += len(payload)
	f.pieces++
	if f.bytes > camera.MaxFrameBytes || f.pieces > maxPieces {
		return fmt.Errorf("a picture has more than %d bytes or %d pieces", camera.MaxFrameBytes, maxPieces)
	}
	if marker {
		*f = frame{}
	}
	return nil
}
