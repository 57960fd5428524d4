// Package terminal is what the demos need of a terminal: single keys, and a screen
// that is drawn as a whole.
package terminal

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Keys that end a program.
const (
	CtrlC = 3
	CtrlD = 4
)

// Keys makes a terminal give single keys, and returns them until ctx is done or
// the terminal is closed. restore makes it as it was.
func Keys(ctx context.Context, f *os.File) (keys <-chan byte, restore func(), err error) {
	fd := int(f.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, nil, fmt.Errorf("read single keys: %w", err)
	}
	out := make(chan byte)
	// It ends with the program: reading a terminal cannot be cancelled.
	go func() {
		buf := make([]byte, 1)
		for {
			if _, err := f.Read(buf); err != nil {
				close(out)
				return
			}
			select {
			case out <- buf[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, func() { _ = term.Restore(fd, old) }, nil // the program ends anyway
}

// Size is that of a terminal, or the usual one.
func Size(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width == 0 || height == 0 {
		return 80, 24
	}
	return width, height
}

// Screen is the terminal's alternate screen, so that the earlier contents come
// back afterwards.
type Screen struct {
	Out   io.Writer
	shown string
}

// Draw shows the lines that fit, if they have changed.
func (s *Screen) Draw(lines []string, width, height int) {
	var b strings.Builder
	for i, l := range lines {
		if i == height-1 {
			break
		}
		if r := []rune(l); len(r) > width {
			l = string(r[:width])
		}
		b.WriteString(l + "\x1b[K\r\n") // clear the rest of the line
	}
	if b.String() == s.shown {
		return
	}
	if s.shown == "" {
		fmt.Fprint(s.Out, "\x1b[?1049h")
	}
	fmt.Fprint(s.Out, "\x1b[H", b.String(), "\x1b[J")
	s.shown = b.String()
}

// Leave restores the ordinary screen.
func (s *Screen) Leave() {
	if s.shown != "" {
		fmt.Fprint(s.Out, "\x1b[?1049l")
	}
}
