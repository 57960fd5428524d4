//go:build integration

package controller_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// testPorts uses metrics and probes, each on its port, while a stranger holds
// as many connections as it can get.
func testPorts(s *space, metrics, probes string) {
	stranger := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}
	for range 200 {
		for _, to := range []string{metrics, probes} {
			conn, err := stranger.DialContext(s.t.Context(), "tcp", to)
			if err != nil {
				s.t.Fatal(err)
			}
			defer conn.Close()
		}
	}
	for url, want := range map[string]string{
		probes + "/healthz":  "ok",
		probes + "/readyz":   "ok",
		metrics + "/metrics": "controller_runtime_active_workers",
	} {
		s.eventually(url, func() error {
			resp, err := http.Get("http://" + url)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
				return fmt.Errorf("%s: %v", resp.Status, err)
			}
			return nil
		})
	}
}
