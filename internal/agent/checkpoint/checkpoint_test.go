package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type state struct {
	Names []string       `json:"names"`
	Count map[string]int `json:"count"`
}

func file(t *testing.T) File[state] {
	t.Helper()
	return File[state]{Path: filepath.Join(t.TempDir(), "agent", "claims.json"), Version: 2}
}

func TestRoundTrip(t *testing.T) {
	f := file(t)
	if _, err := f.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("load without a file: %v, want fs.ErrNotExist", err)
	}
	for i := range 3 {
		want := state{Names: []string{"a", "<&>\u2028\n"}, Count: map[string]int{"x": i}}
		if err := f.Save(want); err != nil {
			t.Fatal(err)
		}
		got, err := f.Load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("loaded is not what was saved (-saved +loaded):\n%s", diff)
		}
	}
	for path, want := range map[string]fs.FileMode{f.Path: 0o600, filepath.Dir(f.Path): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
	}
	if _, err := os.Stat(f.Path + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a temporary file is left: %v", err)
	}
}

func TestUnusableIsSetAside(t *testing.T) {
	tests := map[string]struct {
		content func(valid string) string
		says    string
	}{
		"empty":           {func(string) string { return "" }, "unexpected end"},
		"cut":             {func(v string) string { return v[:len(v)/2] }, "unexpected end"},
		"not JSON":        {func(string) string { return "\x00\x01" }, "invalid character"},
		"other JSON":      {func(string) string { return `{"a":1}` }, "no data"},
		"null":            {func(string) string { return `null` }, "no data"},
		"changed data":    {func(v string) string { return strings.Replace(v, `"a"`, `"b"`, 1) }, "checksum"},
		"changed version": {func(v string) string { return strings.Replace(v, `"version":2`, `"version":1`, 1) }, "checksum"},
		"newer": {func(string) string {
			raw, _ := File[state]{Version: 3}.encode(state{})
			return string(raw)
		}, "newer one wrote it"},
		"wrong type": {func(string) string {
			raw, _ := File[[]int]{Version: 2}.encode([]int{1})
			return string(raw)
		}, "cannot unmarshal"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := file(t)
			if err := f.Save(state{Names: []string{"a"}}); err != nil {
				t.Fatal(err)
			}
			valid, err := os.ReadFile(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			content := test.content(string(valid))
			if err := os.WriteFile(f.Path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := f.Load()
			if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("load: %v, want ErrUnusable that says %q", err, test.says)
			}
			if diff := cmp.Diff(state{}, got); diff != "" {
				t.Errorf("state of an unusable file:\n%s", diff)
			}
			if _, err := f.Load(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("second load: %v, want fs.ErrNotExist", err)
			}
			aside, _ := filepath.Glob(f.Path + ".corrupt-*")
			if len(aside) != 1 {
				t.Fatalf("set aside: %v, want one file", aside)
			}
			if kept, _ := os.ReadFile(aside[0]); string(kept) != content {
				t.Errorf("set aside %q, want %q", kept, content)
			}
		})
	}
}

func TestSetAsideKeepsFew(t *testing.T) {
	f := file(t)
	if err := f.Save(state{}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxAside {
		if err := os.WriteFile(f.Path, fmt.Appendf(nil, "broken %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Load(); !errors.Is(err, ErrUnusable) {
			t.Fatal(err)
		}
	}
	aside, _ := filepath.Glob(f.Path + ".corrupt-*")
	if len(aside) != maxAside {
		t.Fatalf("%d files were kept, want %d", len(aside), maxAside)
	}
	for _, path := range aside {
		if content, _ := os.ReadFile(path); string(content) < fmt.Sprintf("broken %d", maxAside) {
			t.Errorf("an old file was kept: %q", content)
		}
	}
}

func TestMigrate(t *testing.T) {
	f := file(t)
	old := File[[]string]{Path: f.Path, Version: 1}
	if err := old.Save([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	f.Migrate = func(version int, data json.RawMessage) (s state, err error) {
		if version != 1 {
			return s, fmt.Errorf("version %d", version)
		}
		err = json.Unmarshal(data, &s.Names)
		return s, err
	}
	got, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state{Names: []string{"a"}}, got); diff != "" {
		t.Error(diff)
	}
}

// A save that fails, as on a full disk, leaves the old state.
func TestFailedSaveKeepsTheOldState(t *testing.T) {
	f := file(t)
	want := state{Names: []string{"old"}}
	if err := f.Save(want); err != nil {
		t.Fatal(err)
	}
	// /dev/full refuses every write with ENOSPC; Save writes through the link.
	if err := os.Symlink("/dev/full", f.Path+".tmp"); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(state{Names: []string{"new"}}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("save on a full disk: %v, want ENOSPC", err)
	}
	got, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := f.Save(state{Names: []string{"new"}}); err != nil {
		t.Errorf("save when there is room again: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	valid, err := File[state]{Version: 2}.encode(state{Names: []string{"a"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add([]byte(`{"version":2,"checksum":"","data":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file := File[state]{Version: 2}
		got, err := file.decode(raw)
		if err != nil {
			return
		}
		again, err := file.encode(got)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.decode(again); err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
	})
}
