package cell

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, text string
		want       stat
		bad        bool
	}{
		{name: "plain", text: "7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1\n", want: stat{'S', 4242}},
		{name: "name with spaces and parentheses", text: "7 (a) (b c) R) Z 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1\n", want: stat{'Z', 99}},
		{name: "empty", text: "", bad: true},
		{name: "cut", text: "7 (sh) S 1 7", bad: true},
		{name: "no number", text: "7 (sh) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 x 1 1", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat(tt.text)
			if (err != nil) != tt.bad || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestProcIsKilledOnlyWhenItIsTheSame(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })

	p, err := Identify(cmd.Process.Pid)
	if err != nil || !p.Alive() {
		t.Fatalf("own child: %+v, %v", p, err)
	}
	others := map[string]Process{"earlier process": p, "earlier boot": p, "none": {}}
	earlier := p
	earlier.Start--
	others["earlier process"] = earlier
	boot := p
	boot.BootID = "another"
	others["earlier boot"] = boot
	for name, other := range others {
		if other.Alive() {
			t.Errorf("%s is alive", name)
		}
		if err := other.Signal(t.Context(), unix.SIGKILL, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !p.Alive() {
		t.Fatal("a record of another process killed it")
	}

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Signal(stopped, unix.SIGCONT, true); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a process that runs on: %v", err)
	}
	if err := p.Signal(t.Context(), unix.SIGKILL, true); err != nil {
		t.Fatal(err)
	}
	<-done
	if p.Alive() {
		t.Error("alive after SIGKILL")
	}
}

func TestInnermostPID(t *testing.T) {
	for text, want := range map[string]int{
		"Name:\tsh\nNSpid:\t4711\t42\nNSsid:\t1\n": 42,
		"NSpid:\t5\n": 5,
		"NSpid:\n":    0,
		"NSpid:\tx\n": 0,
		"":            0,
	} {
		if got := innermostPID(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
