package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

func TestRead(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	value := func(v any) *ua.DataValue { return &ua.DataValue{Value: ua.MustVariant(v)} }
	for _, c := range []struct {
		name  string
		value *ua.DataValue
		want  float64
		err   string
	}{
		{"a double", value(75.5), 75.5, ""},
		{"a float", value(float32(0.5)), 0.5, ""},
		{"whole numbers", value(int32(-7)), -7, ""},
		{"", value(int8(-7)), -7, ""}, {"", value(uint8(7)), 7, ""}, {"", value(int16(-7)), -7, ""}, {"", value(uint16(7)), 7, ""},
		{"", value(uint32(7)), 7, ""}, {"", value(int64(-7)), -7, ""}, {"", value(uint64(7)), 7, ""},
		{"truth", value(true), 1, ""}, {"", value(false), 0, ""},
		{"a text", value("75"), 0, "the node's value is no number, but a string"},
		{"a list", value([]float64{1, 2}), 0, "the node's value is no number, but a []float64"},
		{"no number", value(math.NaN()), 0, "the node's value is NaN"},
		{"no end", value(math.Inf(-1)), 0, "the node's value is -Inf"},
		{"nothing", &ua.DataValue{}, 0, "the server sends no value"},
		{"an empty variant", &ua.DataValue{Value: new(ua.Variant)}, 0, "the node has no value"},
		{"a bad one", &ua.DataValue{Value: ua.MustVariant(1.0), Status: ua.StatusBadSensorFailure}, 0, "the server has no good value"},
		{"an uncertain one", &ua.DataValue{Value: ua.MustVariant(1.0), Status: ua.StatusUncertainLastUsableValue}, 1, ""},
	} {
		r := read(c.value, now)
		got := ""
		if r.err != nil {
			got = r.err.Error()
		}
		if r.value != c.want || (got == "") != (c.err == "") || !strings.Contains(got, c.err) {
			t.Errorf("%s: %v, %q", c.name, r.value, got)
		}
	}
}

// A server whose clock is wrong does not move its values in time.
func TestTaken(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct{ at, want time.Time }{
		{now.Add(-time.Second), now.Add(-time.Second)}, {now.Add(time.Second), now}, {now.Add(-24 * time.Hour), now}, {time.Time{}, now},
	} {
		if r := read(&ua.DataValue{Value: ua.MustVariant(1.0), SourceTimestamp: c.at}, now); !r.taken.Equal(c.want) {
			t.Errorf("%v: %v, want %v", c.at, r.taken, c.want)
		}
	}
}

func TestWhole(t *testing.T) {
	for n, want := range map[float64]int32{75.4: 75, 75.5: 76, -0.6: -1, 1e300: math.MaxInt32, -1e300: math.MinInt32} {
		if got := whole(n); got != want {
			t.Errorf("%g: %d, want %d", n, got, want)
		}
	}
}

func TestSilence(t *testing.T) {
	for _, c := range []struct {
		interval float64 // ms
		count    uint32
		want     time.Duration
	}{
		{1000, 5, 5*time.Second + requestTimeout},
		{1000, 30, 30*time.Second + requestTimeout},
		{0, 0, keepAlive + requestTimeout},
		{-1, 10, keepAlive + requestTimeout},
		{math.NaN(), 10, keepAlive + requestTimeout},
		{math.Inf(1), 10, maxKeepAlive + requestTimeout},
		{1e300, math.MaxUint32, maxKeepAlive + requestTimeout},
	} {
		if got := silence(&ua.CreateSubscriptionResponse{RevisedPublishingInterval: c.interval, RevisedMaxKeepAliveCount: c.count}); got != c.want {
			t.Errorf("%g × %d: %v, want %v", c.interval, c.count, got, c.want)
		}
	}
}
