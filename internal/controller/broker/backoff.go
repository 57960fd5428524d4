package broker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/internal/backoff"
)

// AnnotationFailures is set on a broker Pod and holds the failures before it,
// as a JSON object from node to [Failure]. It lets back-off survive a restart
// of the controller.
const AnnotationFailures = "akri.sh/broker-failures"

const (
	// firstDelay doubles with each failure until it is maxDelay.
	firstDelay = 10 * time.Second
	maxDelay   = 5 * time.Minute
	// failureResetPeriod is how long a node must be without failures, or a
	// broker must have run, for the count to start again at one.
	failureResetPeriod = 10 * time.Minute
	// maxRememberedNodes bounds the annotation written.
	maxRememberedNodes = 16
	// maxFailuresBytes bounds the annotation read: users can edit it.
	maxFailuresBytes = 16 << 10
)

// Failure counts the failures of an Instance's brokers on one node.
type Failure struct {
	// Count is the number of failures in a row, at least 1.
	Count int `json:"count"`
	// Last is the time of the latest failure.
	Last time.Time `json:"last"`
	// Pod is the latest Pod that failed, so that it is counted once.
	Pod types.UID `json:"pod,omitempty"`
}

// delay returns the time between the failure and the next attempt.
func (f Failure) delay() time.Duration {
	return backoff.Backoff{First: firstDelay, Max: maxDelay}.Delay(f.Count)
}

// wait returns how long the node is still in back-off.
func (f Failure) wait(now time.Time) time.Duration {
	if f.Count == 0 {
		return 0
	}
	// A time in the future comes from another machine's clock. It must not
	// delay the node for longer than the back-off.
	return min(f.Last.Add(f.delay()).Sub(now), f.delay())
}

// History holds the failures of an Instance's brokers by node.
type History map[string]Failure

// add counts a failure of a Pod at a time, unless it was counted already, and
// add counts a failure of a Pod unless it was counted before, and reports
// whether it was new.
func (h History) add(node string, pod types.UID, at time.Time, ran time.Duration) bool {
	f := h[node]
	if f.Pod == pod && f.Count > 0 {
		return false
	}
	if ran >= failureResetPeriod || at.Sub(f.Last) >= failureResetPeriod {
		f.Count = 0
	}
	if at.Before(f.Last) {
		at = f.Last // another clock: the newest failure must stay the newest
	}
	h[node] = Failure{Count: min(f.Count+1, 1000), Last: at, Pod: pod}
	return true
}

// merge adds the failures of another history that are newer. Those in the
// future are dropped: users can edit the annotation, and clocks differ.
func (h History) merge(o History, now time.Time) {
	for node, f := range o {
		if f.Count > 0 && f.Last.After(h[node].Last) && f.Last.Before(now.Add(time.Minute)) {
			h[node] = f
		}
	}
}

// forget drops failures that are too old to matter.
func (h History) forget(now time.Time) {
	maps.DeleteFunc(h, func(_ string, f Failure) bool {
		return f.Count <= 0 || now.Sub(f.Last) > failureResetPeriod+maxDelay
	})
}

// record writes the history to a Pod that is about to be created.
func (h History) record(pod metav1.Object) {
	if s := h.encode(); s != "" {
		notes := maps.Clone(pod.GetAnnotations())
		if notes == nil {
			notes = map[string]string{}
		}
		notes[AnnotationFailures] = s
		pod.SetAnnotations(notes)
	}
}

// encode returns the annotation's value, or "" if there are no failures. If
// there are too many, it keeps the latest.
func (h History) encode() string {
	if len(h) == 0 {
		return ""
	}
	keep := h
	if len(h) > maxRememberedNodes {
		nodes := slices.SortedFunc(maps.Keys(h), func(a, b string) int {
			return h[b].Last.Compare(h[a].Last)
		})
		keep = History{}
		for _, n := range nodes[:maxRememberedNodes] {
			keep[n] = h[n]
		}
	}
	for n, f := range keep {
		f.Last = f.Last.UTC().Truncate(time.Millisecond)
		keep[n] = f
	}
	b, err := json.Marshal(keep)
	if err != nil { // a map of strings, numbers and times in range
		return ""
	}
	return string(b)
}

// decodeHistory parses the annotation's value.
func decodeHistory(s string) (History, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxFailuresBytes {
		return nil, fmt.Errorf("annotation %s: %d bytes, at most %d are read", AnnotationFailures, len(s), maxFailuresBytes)
	}
	var h History
	if err := json.Unmarshal([]byte(s), &h); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", AnnotationFailures, err)
	}
	maps.DeleteFunc(h, func(_ string, f Failure) bool { return f.Count <= 0 })
	return h, nil
}
