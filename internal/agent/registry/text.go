package registry

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/akri-go/akri/internal/shorten"
)

const (
	maxShownBytes = 64  // bytes of an id or a path in a text
	maxReasons    = 5   // of refused devices that a text names
	maxErrorBytes = 512 // bytes of a handler's own words
)

// show quotes text from outside, its beginning at least.
func show(s string) string {
	if len(s) > maxShownBytes {
		s = shorten.Text(s, maxShownBytes)
	}
	return strconv.Quote(s)
}

// words turns what a handler said into one printable line of bounded length.
func words(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, shorten.Text(s, maxErrorBytes))
}

// refusals are reasons why devices were left out.
type refusals struct {
	reasons []string
	more    int
}

func (r *refusals) add(reason string) {
	if len(r.reasons) == maxReasons {
		r.more++
		return
	}
	r.reasons = append(r.reasons, reason)
}

// err is nil if there is no reason.
func (r *refusals) err() error {
	if len(r.reasons) == 0 {
		return nil
	}
	text := strings.Join(r.reasons, "; ")
	if r.more > 0 {
		text += fmt.Sprintf("; and %d more", r.more)
	}
	return errors.New(text)
}

// noted adds a handler's note to why devices were left out here.
func noted(refused error, note string) error {
	switch {
	case note == "":
		return refused
	case refused == nil:
		return errors.New(words(note))
	}
	return fmt.Errorf("%w; %s", refused, words(note))
}
