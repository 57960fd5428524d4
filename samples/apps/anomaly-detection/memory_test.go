package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/akri-go/akri/internal/eventually"
	"github.com/akri-go/akri/internal/freeport"
	"github.com/akri-go/akri/internal/gobuild"
	"github.com/akri-go/akri/internal/handlers/opcua/opcuatest"
)

// browsers is how many look at the page in the end.
const browsers = 20

// BenchmarkMemory measures what an OPC UA broker and this application take, each a
// process of its own, while values come: with one page and with many. Run it with
// -benchtime 1x.
func BenchmarkMemory(b *testing.B) {
	server := opcuatest.StartThermometer(b, "", nil, 75.0)
	address, broker, _ := runBroker(b, gobuild.Program(b, "github.com/akri-go/akri/samples/brokers/opcua-monitoring"), server.URL)
	page := "127.0.0.1:" + strconv.Itoa(freeport.Port(b))
	application, _ := runProgram(b, gobuild.Program(b, "github.com/akri-go/akri/samples/apps/anomaly-detection"), "BROKERS="+address, "PORT="+page[len("127.0.0.1:"):])
	for b.Loop() {
		eventually.Succeeds(b, patience, func(context.Context) error {
			resp, err := http.Get("http://" + page + "/healthz")
			if err == nil {
				resp.Body.Close()
			}
			return err
		})
		first := look(b, page)
		value := 70.0
		several := func(pages ...*viewer) { // values, until all have the last
			for range 10 {
				value++
				server.Set(value)
				for _, p := range pages {
					p.shows(newest(address, value, verdictOf(value)))
				}
			}
		}
		several(first)
		b.ReportMetric(residentMiB(b, broker), "MiB-broker")
		b.ReportMetric(residentMiB(b, application), "MiB-application")
		all := []*viewer{first}
		for len(all) < browsers {
			all = append(all, look(b, page))
		}
		several(all...)
		b.ReportMetric(residentMiB(b, application), fmt.Sprintf("MiB-application-%d-pages", browsers))
	}
}

// verdictOf is what upstream's training says of a whole value.
func verdictOf(value float64) verdict {
	if value >= 70 && value <= 80 {
		return usual
	}
	return outlier
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
