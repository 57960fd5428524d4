package registry

import (
	"log/slog"

	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/internal/logging"
)

// maxLines bounds the number of places whose log lines are counted.
const maxLines = 4096

// say logs what an endpoint did, for the request of a Configuration unless the
// name is zero. Handlers may do it as often as they like, and may register again
// to be forgotten. So lines are counted by place. The caller holds r.mu.
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
