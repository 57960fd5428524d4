package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestJSON(t *testing.T) {
	type record struct {
		Name string
		N    int
	}
	path := filepath.Join(t.TempDir(), "sub", "r.json")
	got := record{Name: "as before"}
	if err := ReadJSON(path, &got); err != nil || got.Name != "as before" {
		t.Errorf("no file: %+v, %v", got, err)
	}
	want := record{Name: "x", N: 7}
	if err := WriteJSON(path, want); err != nil {
		t.Fatal(err)
	}
	if err := ReadJSON(path, &got); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := Write(path, []byte(`{"N":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ReadJSON(path, &got); err == nil {
		t.Error("half a record was read")
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v", files, err)
	}
}

func TestDurable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "key")
	if err := Write(path+".tmp", []byte("left over, and readable by all"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"old", "new"} {
		if err := WriteDurable(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v", files, err)
	}
}
