package main

import (
	"context"
	"encoding/binary"
	"fmt"
)

// device is a camera. A [node] is a real one.
type device interface {
	Offers() []offer
	Set(want mode, perSecond int) (mode, error)
	Start() error
	// Next waits for a picture; its bytes are the camera's again when use returns.
	Next(ctx context.Context, use func([]byte) error) error
	Close() error
}

// fourCC is a format of pixels as V4L2 names it, in four letters.
type fourCC uint32

func code(s string) fourCC { return fourCC(binary.LittleEndian.Uint32([]byte(s))) }

func (f fourCC) String() string {
	b := binary.LittleEndian.AppendUint32(nil, uint32(f))
	for i := range b {
		if b[i] < ' ' || b[i] > '~' {
			return fmt.Sprintf("%#x", uint32(f))
		}
	}
	return string(b)
}

// sizes are sizes of pictures that a camera has: from least to greatest in steps.
// One size has the same least and greatest.
type sizes struct {
	minWidth, maxWidth, stepWidth    uint32
	minHeight, maxHeight, stepHeight uint32
}

// offer is a format that a camera has, with its sizes.
type offer struct {
	format fourCC
	sizes  []sizes
}

// mode is how a camera gives pictures.
type mode struct {
	format        fourCC
	width, height uint32
	stride        uint32 // bytes of a line; 0 if they are not padded
	full          bool   // YUV has all values, and not only those that television uses
}

func (m mode) String() string { return fmt.Sprintf("%s with %d×%d", m.format, m.width, m.height) }
