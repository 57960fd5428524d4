package devcluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/akri-go/akri/internal/cell"
)

const stateFormat = 1

// state is what Up saves before it makes anything, so that Down can remove it.
type state struct {
	Format int `json:"format"`
	Index  int `json:"index"`
	Nodes  int `json:"nodes"`
	// EdgeNodes is Options.EdgeNodes.
	EdgeNodes int `json:"edgeNodes,omitempty"`
	// Kubernetes is the version; "" if an earlier version of this program wrote
	// the state.
	Kubernetes string `json:"kubernetes,omitempty"`
	// NodeGrace is Options.NodeGrace.
	NodeGrace time.Duration `json:"nodeGrace,omitempty"`
	BinDir    string        `json:"binDir"`
	Bins      binaries      `json:"binaries"`
	CNIDir    string        `json:"cniDir"`
	Created   time.Time     `json:"created"`
}

// binaries maps the name of a binary to its path.
type binaries map[string]string

func stateFile(dir string) string { return filepath.Join(dir, "cluster.json") }

// readState returns nil when there is no cluster in dir.
func readState(dir string) (*state, error) {
	data, err := os.ReadFile(stateFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("parse %s: %w; `akri dev down` removes it", stateFile(dir), err)
	}
	if s.Format != stateFormat || s.Index < 0 || s.Index >= cell.MaxLabs || s.Nodes < 1 || s.EdgeNodes < 0 || s.Nodes+s.EdgeNodes > MaxNodes {
		return nil, fmt.Errorf("%s was written by another version; `akri dev down` removes it", stateFile(dir))
	}
	return &s, nil
}
