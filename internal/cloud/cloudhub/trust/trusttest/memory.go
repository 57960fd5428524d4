// Package trusttest has what package trust keeps, in memory, for tests.
package trusttest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
)

// Memory is a Store, and the cluster's nodes.
type Memory struct {
	mu      sync.Mutex
	data    map[string][]byte
	version int
	nodes   map[string]trust.NodeState
	// Before, if not nil, is called before each Write: for what others do at the
	// same time.
	Before func()
}

var (
	_ trust.Store = (*Memory)(nil)
	_ trust.Nodes = (*Memory)(nil)
)

// Read returns the data.
func (m *Memory) Read(context.Context) (map[string][]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]byte{}
	for k, v := range m.data {
		out[k] = bytes.Clone(v)
	}
	return out, fmt.Sprint(m.version), nil
}

// Write replaces the data.
func (m *Memory) Write(_ context.Context, data map[string][]byte, version string) error {
	if m.Before != nil {
		m.Before()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if version != fmt.Sprint(m.version) {
		return trust.ErrConflict
	}
	m.version++
	m.data = maps.Clone(data)
	return nil
}

// Put replaces one part of the data.
func (m *Memory) Put(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version++
	m.data[key] = value
}

// Add adds a node to the cluster.
func (m *Memory) Add(name string, edge bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil {
		m.nodes = map[string]trust.NodeState{}
	}
	m.nodes[name] = trust.NodeState{Exists: true, Edge: edge}
}

// Node tells of a node.
func (m *Memory) Node(_ context.Context, name string) (trust.NodeState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[name], nil
}
