package checkpointtest_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/agent/checkpoint"
	"github.com/akri-go/akri/internal/agent/checkpoint/checkpointtest"
)

type state struct {
	Names []string       `json:"names,omitempty"`
	Count map[string]int `json:"count,omitempty"`
}

var (
	one = state{Names: []string{"a", "b"}, Count: map[string]int{"a": 1}}
	two = state{Count: map[string]int{"b": 2}}
)

func TestMemory(t *testing.T) {
	m := &checkpointtest.Memory[state]{}
	checkpointtest.Test(t, func() checkpoint.Store[state] { return m }, one, two)
	m.Fail(errors.New("no space left"))
	before := string(m.JSON())
	if err := m.Save(state{}); err == nil || string(m.JSON()) != before {
		t.Errorf("a save that is to fail: %v; held is %s", err, m.JSON())
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	checkpointtest.Test(t, func() checkpoint.Store[state] { return checkpoint.File[state]{Path: path, Version: 1} }, one, two)
}

func TestRestore(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(path, []byte(`{"version":1,"data":{"names":["a"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		store checkpoint.Store[state]
		found bool
		says  string
	}{
		{"no store", nil, false, ""},
		{"nothing saved", &checkpointtest.Memory[state]{}, false, ""},
		{"empty", checkpointtest.Holding(state{}), true, ""},
		{"saved", checkpointtest.Holding(two), true, ""},
		{"damaged", checkpoint.File[state]{Path: path, Version: 1}, false, "starting without it"},
	} {
		log.Reset()
		got, found := checkpoint.Restore(test.store, slog.New(slog.NewTextHandler(&log, nil)), "starting without it")
		if found != test.found || len(got.Names) > 0 || (test.name == "saved") != (got.Count["b"] == 2) {
			t.Errorf("%s: found %v %v", test.name, found, got)
		}
		if said := log.String(); (test.says == "") != (said == "") || !strings.Contains(said, test.says) {
			t.Errorf("%s: it says %q, want %q", test.name, said, test.says)
		}
	}
}
