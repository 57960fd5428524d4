package devcluster

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceDir(t *testing.T) {
	write := func(dir, file, text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	data, backup := filepath.Join(root, "etcd"), filepath.Join(root, "backup")
	write(data, "later", "x")
	if err := replaceDir(data, backup); err == nil {
		t.Error("there is no backup, and no error")
	}
	if _, err := os.Stat(filepath.Join(data, "later")); err != nil {
		t.Errorf("there is no backup, and the data are gone: %v", err)
	}
	write(filepath.Join(backup, "member"), "db", "old")
	if err := replaceDir(data, backup); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, "later")); !os.IsNotExist(err) {
		t.Errorf("what came after the backup is there: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(data, "member", "db")); err != nil || string(got) != "old" {
		t.Errorf("the backup's data: %q, %v", got, err)
	}
}
