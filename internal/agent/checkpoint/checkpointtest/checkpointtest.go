// Package checkpointtest has a checkpoint in memory, and the test that all
// stores of checkpoints pass.
package checkpointtest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/akri-go/akri/internal/agent/checkpoint"
)

// Memory is a store in memory. It holds JSON, as a file does. Its methods may be
// called by several goroutines.
type Memory[T any] struct {
	mu    sync.Mutex
	raw   []byte
	saves int
	err   error
}

// Holding returns a store that holds a state.
func Holding[T any](state T) *Memory[T] {
	m := &Memory[T]{}
	if err := m.Save(state); err != nil {
		panic(err) // a fault of the test
	}
	m.saves = 0
	return m
}

// Load implements [checkpoint.Store].
func (m *Memory[T]) Load() (state T, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.raw == nil {
		return state, fs.ErrNotExist
	}
	return state, json.Unmarshal(m.raw, &state)
}

// Save implements [checkpoint.Store].
func (m *Memory[T]) Save(state T) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	m.raw = raw
	m.saves++
	return nil
}

// Fail makes Save return err from now on, or work again if err is nil.
func (m *Memory[T]) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// JSON returns what is held; nil if nothing is.
func (m *Memory[T]) JSON() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.raw)
}

// Saves returns how often the state was replaced.
func (m *Memory[T]) Saves() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saves
}

// Copy returns another store that holds the same.
func (m *Memory[T]) Copy() *Memory[T] { return &Memory[T]{raw: m.JSON()} }

// Test tests a store. Open opens it, at the same place each time; it is empty at
// first. One and two are two different states.
func Test[T any](t *testing.T, open func() checkpoint.Store[T], one, two T) {
	t.Helper()
	if _, err := open().Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load of nothing: %v, want fs.ErrNotExist", err)
	}
	for name, want := range map[string]T{"one": one, "two": two} {
		store := open()
		for range 2 { // the same again changes nothing
			if err := store.Save(want); err != nil {
				t.Fatalf("save %s: %v", name, err)
			}
		}
		for _, store := range []checkpoint.Store[T]{store, open()} {
			got, err := store.Load()
			if err != nil {
				t.Fatalf("load %s: %v", name, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("loaded is not what was saved as %s (-saved +loaded):\n%s", name, diff)
			}
		}
	}
}
