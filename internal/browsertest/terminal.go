package browsertest

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// The sizes of a character on pictures of a terminal, and of what is around the
// text, in pixels.
const (
	characterWidth, lineHeight = 8, 18
	frameWidth, frameHeight    = 32, 62
)

// Screen returns what a terminal shows that got all of out from the package
// terminal: its last picture that is complete.
func Screen(out string) string {
	const begin, end, restOfLine = "\x1b[H", "\x1b[J", "\x1b[K"
	last := strings.LastIndex(out, end)
	if last < 0 {
		return ""
	}
	out = out[:last]
	out = out[strings.LastIndex(out, begin)+len(begin):]
	return strings.TrimRight(strings.NewReplacer(restOfLine, "", "\r", "").Replace(out), "\n ")
}

// Terminal keeps a picture of what a terminal shows, if AKRI_SCREENSHOTS is a
// folder. title is the command that was run in it.
func Terminal(t *testing.T, name, title, screen string) {
	t.Helper()
	if os.Getenv("AKRI_SCREENSHOTS") == "" {
		return
	}
	columns, lines := 0, strings.Split(screen, "\n")
	for _, l := range lines {
		columns = max(columns, utf8.RuneCountInString(l))
	}
	page := `<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #1e2227; color: #d7dae0; font: 13px/18px "DejaVu Sans Mono", "Liberation Mono", monospace; }
h1 { margin: 0; padding: 7px 16px; background: #31363d; color: #9aa3ad; font: inherit; }
pre { margin: 0; padding: 14px 16px; font: inherit; }
</style><h1>$ ` + html.EscapeString(title) + `</h1><pre>` + html.EscapeString(screen) + `</pre>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
	defer server.Close()
	b := Open(t, server.URL)
	b.Photograph(name, int64(columns*characterWidth+frameWidth), int64(len(lines)*lineHeight+frameHeight), true)
}
