package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/akri-go/akri/internal/freeport"
)

// runProgram runs a program until the test ends, or it is stopped.
func runProgram(t testing.TB, file string, env ...string) (pid int, stop func()) {
	t.Helper()
	cmd := exec.Command(file)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s with %v:\n%s", filepath.Base(file), env, said.String())
		}
	})
	return cmd.Process.Pid, stop
}

// runBroker runs a broker for a server.
func runBroker(t testing.TB, file, url string) (address string, pid int, stop func()) {
	t.Helper()
	port := strconv.Itoa(freeport.Port(t))
	pid, stop = runProgram(t, file, "OPCUA_DISCOVERY_URL_ABCDEF="+url, "IDENTIFIER=Thermometer_Temperature", "NAMESPACE_INDEX=1", "INTERVAL=100ms",
		"PORT="+port, "METRICS_PORT="+strconv.Itoa(freeport.Port(t)))
	return "127.0.0.1:" + port, pid, stop
}
