package deviceplugin

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childEnv makes the test binary a node with that many devices; its value is
// the folder of the kubelet and the number.
const childEnv = "AKRI_DEVICEPLUGIN_CHILD"

// BenchmarkResources measures a process of its own with the door, the ledger and
// 1,000 devices: its resident memory, and how long until the (fake) kubelet has
// all lists.
func BenchmarkResources(b *testing.B) {
	const devices = 1000
	if child := os.Getenv(childEnv); child != "" {
		runChild(b, child)
		return
	}
	for b.Loop() {
		dir, err := os.MkdirTemp("", "kubelet")
		if err != nil {
			b.Fatal(err)
		}
		defer os.RemoveAll(dir)
		k := startKubelet(b, dir)
		child := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkResources$", "-test.benchtime=1x")
		child.Stderr = os.Stderr
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", childEnv, dir, devices))
		stdin, err := child.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := child.Start(); err != nil {
			b.Fatal(err)
		}
		k.await("all resources", func() bool {
			c := k.clients["akri.sh/cam"]
			return len(k.offers()) == devices+1 && len(c.list) == devices
		})
		b.ReportMetric(time.Since(start).Seconds(), "s-to-all")
		b.ReportMetric(float64(residentKiB(b, child.Process.Pid))/1024, "MiB-RSS")
		stdin.Close()
		if err := child.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

func runChild(b *testing.B, args string) {
	dir, number, _ := strings.Cut(args, " ")
	devices, err := strconv.Atoi(number)
	if err != nil {
		b.Fatal(err)
	}
	n := newFixture(b)
	n.plugin.queue.ShutDown() // that one has a folder of its own
	n.plugin.lists.ShutDown()
	if n.plugin, err = New(Options{Dir: dir, Node: "a", Ledger: n.ledger, HostPaths: n.dev, Logger: n.plugin.log}); err != nil {
		b.Fatal(err)
	}
	n.ledger.Subscribe(n.plugin.SlotsChanged)
	n.run()
	for i := range devices {
		n.changed(camera(fmt.Sprintf("%06x", i), 1))
	}
	// Until the parent closes it.
	for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
	}
	n.stop()
}

func residentKiB(b *testing.B, pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kib
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
