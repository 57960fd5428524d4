package registry

import (
	"log/slog"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/internal/logging"
)

// maxLines bounds of how many places it is remembered what was logged.
const maxLines = 4096

// say logs what an endpoint has done, of a question if that is not the zero name.
// Handlers may do all of it as often as they like, and come back under the same
// place with nothing remembered: so it is counted here. The caller holds r.mu.
func (r *Registry) say(e *endpoint, configuration types.NamespacedName, level slog.Level, text string, args ...any) {
	at := place{configuration, e.id}
	s := r.lines[at]
	if s == nil {
		if len(r.lines) >= maxLines {
			clear(r.lines)
		}
		s = new(logging.Sparing)
		r.lines[at] = s
	}
	about := []any{"handler", e.name, "endpoint", e.id}
	if configuration != (types.NamespacedName{}) {
		about = append([]any{"configuration", configuration.String()}, about...)
	}
	s.Log(r.log, level, text, append(about, args...)...)
}
