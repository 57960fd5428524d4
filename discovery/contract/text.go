package contract

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/akri-go/akri/internal/shorten"
)

const (
	maxShownBytes = 64 // bytes of an id or a path in a text
	// MaxWordsBytes is how much [Words] keeps of a handler's own words.
	MaxWordsBytes = 512
)

// Show quotes text from outside, its beginning at least.
func Show(s string) string {
	if len(s) > maxShownBytes {
		s = shorten.Text(s, maxShownBytes)
	}
	return strconv.Quote(s)
}

// Words turns what a handler said into one printable line of bounded length.
func Words(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, shorten.Text(s, MaxWordsBytes))
}

// Printable tells whether s is UTF-8 without control characters.
func Printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
