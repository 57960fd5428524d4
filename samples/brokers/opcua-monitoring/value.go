package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gopcua/opcua/ua"
)

// reading is what is known of the node's value.
type reading struct {
	value float64
	taken time.Time
	err   error // why there is none
}

// read makes a reading of what the server sends. now is when it came.
func read(v *ua.DataValue, now time.Time) reading {
	if v.Status == ua.StatusBadNodeIDUnknown { // some servers take a node that they do not have
		return reading{err: errNoNode}
	}
	if severity(v.Status) == bad {
		return reading{err: fmt.Errorf("the server has no good value: %w", v.Status)}
	}
	if v.Value == nil {
		return reading{err: errors.New("the server sends no value")}
	}
	n, err := number(v.Value.Value())
	if err != nil {
		return reading{err: err}
	}
	r := reading{value: n, taken: now}
	// A clock that is wrong must not make a value older than all others.
	if t := v.SourceTimestamp; !t.IsZero() && t.Before(now) && now.Sub(t) < time.Hour {
		r.taken = t
	}
	return r
}

// number makes a number of a value.
func number(v any) (float64, error) {
	var n float64
	switch v := v.(type) {
	case nil:
		return 0, errors.New("the node has no value")
	case bool:
		if v {
			n = 1
		}
	case int8:
		n = float64(v)
	case uint8:
		n = float64(v)
	case int16:
		n = float64(v)
	case uint16:
		n = float64(v)
	case int32:
		n = float64(v)
	case uint32:
		n = float64(v)
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	case float32:
		n = float64(v)
	case float64:
		n = v
	default:
		return 0, fmt.Errorf("the node's value is no number, but a %T", v)
	}
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("the node's value is %v", n)
	}
	return n, nil
}

// whole makes of a value what upstream's message has: a number of 32 bits.
func whole(n float64) int32 {
	return int32(min(max(math.Round(n), math.MinInt32), math.MaxInt32))
}

// The severities of a status (OPC 10000-4, 7.38).
const (
	good uint32 = iota
	uncertain
	bad
)

func severity(s ua.StatusCode) uint32 { return min(uint32(s)>>30, bad) }
