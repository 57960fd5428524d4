package camera

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"slices"
	"sync"
)

// Markers of JPEG: ITU-T T.81, table B.1.
const (
	markerSOI  = 0xd8 // start of image
	markerEOI  = 0xd9 // end of image
	markerSOS  = 0xda // start of scan
	markerDHT  = 0xc4 // define Huffman tables
	markerTEM  = 0x01
	markerRST0 = 0xd0
	markerRST7 = 0xd7
)

// isFrame tells whether a marker begins a frame header that browsers can show:
// baseline, extended and progressive.
func isFrame(marker byte) bool { return marker >= 0xc0 && marker <= 0xc2 }

// maxSegments is how many segments a picture may have before its scan. Cameras
// send about ten.
const maxSegments = 256

// Complete returns a picture of a camera as a JPEG of its own. Cameras that send
// Motion JPEG leave out the Huffman tables if they are the usual ones (ITU-T T.81,
// annex K), and drivers leave something behind the end. What is no picture, or only
// part of one, is an error. The result may share the bytes that it was given.
func Complete(picture []byte) ([]byte, error) {
	if len(picture) < 4 || picture[0] != 0xff || picture[1] != markerSOI {
		return nil, errors.New("it does not begin like a JPEG")
	}
	scan, hasTables, err := segments(picture)
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndex(picture[scan:], []byte{0xff, markerEOI})
	if end < 0 {
		return nil, errors.New("its end is missing")
	}
	picture = picture[:scan+end+2]
	if hasTables {
		return picture, nil
	}
	return slices.Concat(picture[:scan], usualTables(), picture[scan:]), nil
}

// segments walks through the segments of a picture up to its scan, and returns
// where that begins.
func segments(picture []byte) (scan int, hasTables bool, err error) {
	hasFrame := false
	at := 2
	for range maxSegments {
		for at+1 < len(picture) && picture[at] == 0xff && picture[at+1] == 0xff {
			at++ // fill bytes
		}
		if at+4 > len(picture) {
			return 0, false, errors.New("it ends in its header")
		}
		if picture[at] != 0xff {
			return 0, false, fmt.Errorf("byte %d is no marker", at)
		}
		marker := picture[at+1]
		switch {
		case marker == markerSOS && !hasFrame:
			return 0, false, errors.New("it has no frame header")
		case marker == markerSOS:
			return at, hasTables, nil
		case marker == markerTEM, marker >= markerRST0 && marker <= markerRST7:
			at += 2
			continue
		case marker == markerSOI, marker == markerEOI, marker == 0:
			return 0, false, fmt.Errorf("marker %#x in its header", marker)
		case marker == markerDHT:
			hasTables = true
		}
		length := int(binary.BigEndian.Uint16(picture[at+2:]))
		if length < 2 || at+2+length > len(picture) {
			return 0, false, fmt.Errorf("segment %#x ends beyond the picture", marker)
		}
		if isFrame(marker) {
			hasFrame = true
			if length < 8 || binary.BigEndian.Uint16(picture[at+7:]) == 0 {
				return 0, false, errors.New("it is of no size")
			}
		}
		at += 2 + length
	}
	return 0, false, fmt.Errorf("it has more than %d segments", maxSegments)
}

// usualTables returns the segment with the usual Huffman tables. Go's encoder uses
// them, so it is asked for them.
var usualTables = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 8, 8), image.YCbCrSubsampleRatio420), nil); err != nil {
		return nil
	}
	data := b.Bytes()
	for at := 2; at+4 <= len(data); {
		end := at + 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		if data[at+1] == markerDHT && end <= len(data) {
			return data[at:end]
		}
		at = end
	}
	return nil
})
