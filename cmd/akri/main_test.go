package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no short help", cmd.CommandPath())
		}
		if cmd.Runnable() && cmd.Args == nil {
			t.Errorf("%s takes any argument without a word", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newAkriCommand())
}

func TestDevWithoutCluster(t *testing.T) {
	for _, args := range [][]string{
		{"status"}, {"kubeconfig"}, {"kubectl", "--", "get", "pods"}, {"logs"}, {"plug"}, {"unplug"},
	} {
		cmd := newAkriCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append([]string{"dev", "--dir", t.TempDir()}, args...))
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "akri dev up") {
			t.Errorf("akri dev %s: %v, want an error that names the remedy", args[0], err)
		}
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{2: "b\nc\n", 9: "a\nb\nc\n", 0: "\n", -1: "\n"} {
		if got, err := lastLines(path, n); err != nil || got != want {
			t.Errorf("%d lines: %q, %v, want %q", n, got, err, want)
		}
	}
}
