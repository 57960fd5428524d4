package status

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload/health"
)

func TestCounts(t *testing.T) {
	inst := &v0.Instance{Spec: v0.InstanceSpec{Capacity: 3, DeviceUsage: map[string]string{"a-0": "n", "a-1": ""}}}
	if got := Used(inst); got != "1/3" {
		t.Errorf("used %q", got)
	}
	c := &v0.Configuration{}
	if got := Brokers(c, []string{"a"}, nil, nil); got != "" {
		t.Errorf("brokers of none: %q", got)
	}
	c.Spec.BrokerSpec = &v0.BrokerSpec{BrokerPodSpec: &runtime.RawExtension{}}
	brokers := []health.Broker{{Instance: "a"}, {Instance: "b", Health: health.Broken}, {Instance: "b", Health: health.Recovering}, {Instance: "d", Health: health.Broken}}
	if got := Brokers(c, []string{"a", "b", "c", "d", "e"}, brokers, map[string]bool{"d": true, "e": true}); got != "4/6" {
		t.Errorf("brokers %q", got)
	}
}

// Writes that can wait are delayed and limited in rate.
func TestLater(t *testing.T) {
	var l later
	l.init()
	now := t0.Time
	key := func(i int) (k types.NamespacedName) { k.Name = fmt.Sprint(i); return }
	if w := l.wait(key(0), Now, now); w != 0 {
		t.Errorf("what somebody waits for waits %v", w)
	}
	if w := l.wait(key(0), Later, now); w != settlePeriod {
		t.Errorf("the first time it waits %v", w)
	}
	if w := l.wait(key(0), Later, now.Add(settlePeriod)); w != 0 {
		t.Errorf("then %v", w)
	}
	held := 0
	for i := range 1000 {
		l.wait(key(i), Later, now)
		if l.wait(key(i), Later, now.Add(settlePeriod)) > 0 {
			held++
		}
	}
	if held < 500 {
		t.Errorf("of 1000 at once only %d are held back", held)
	}
	for i := range 1000 {
		l.wait(key(i), Nothing, now)
	}
	if len(l.noticed) > 0 {
		t.Errorf("%d are remembered of which there is nothing to write", len(l.noticed))
	}
}
