package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// DefaultStateDir is where checkpoints are kept.
const DefaultStateDir = "/var/lib/akri-agent"

// checkStateDir refuses a folder that handlers can write to or replace: after a
// restart the agent trusts what is in it.
func checkStateDir(handlers, state string) error {
	handlers, state = real(handlers), real(state)
	if state == handlers || strings.HasPrefix(state, strings.TrimSuffix(handlers, "/")+"/") {
		return fmt.Errorf("the state folder %s is in the handlers' folder %s, where handlers may write: "+
			"use another, such as %s (--state-dir, AKRI_STATE_DIR)", state, handlers, DefaultStateDir)
	}
	return nil
}

// real resolves the links of a path, as far as it exists.
func real(path string) string {
	path = filepath.Clean(path)
	if found, err := filepath.EvalSymlinks(path); err == nil {
		return found
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(real(parent), filepath.Base(path))
	}
	return path
}

// ignoreOldState warns that the checkpoints that earlier agents kept in the
// handlers' folder are ignored. They cannot be trusted: members of the group
// could replace the folder, if only by an older copy of it.
func ignoreOldState(handlers string, log *slog.Logger) {
	old := filepath.Join(handlers, "agent")
	if _, err := os.Lstat(old); err == nil {
		log.Warn("the checkpoints of an older agent are not used, since handlers could write there: "+
			"devices and slots are learnt anew from handlers, containers and the API server; remove the folder", "folder", old)
	}
}
