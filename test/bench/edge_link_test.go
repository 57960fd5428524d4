package main

import (
	"maps"
	"testing"
)

func TestMetrics(t *testing.T) {
	got := metrics(`goos: linux
BenchmarkHandshake-2            	       1	         0 ns/op	         1.536 s
BenchmarkHeadOfLine/up-2        	       1	         0 ns/op	       350.5 ms-p50	       660 ms-p99
PASS
BenchmarkBroken
ok  	github.com/akri-go/akri/test/edgelink	3.1s
`)
	want := map[string]float64{"Handshake ns/op": 0, "Handshake s": 1.536, "HeadOfLine/up ns/op": 0,
		"HeadOfLine/up ms-p50": 350.5, "HeadOfLine/up ms-p99": 660}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
