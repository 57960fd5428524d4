package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

var (
	t0 = metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	t1 = metav1.NewTime(t0.Add(time.Hour))
)

// brief writes conditions as "Type=Status Reason", old ones with a star.
func brief(cs []metav1.Condition) string {
	var out []string
	for _, c := range cs {
		s := fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason)
		if c.LastTransitionTime.Equal(&t0) {
			s += "*"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func node(name string, state v0.DiscoveryState, message string) v0.ConfigurationNode {
	return v0.ConfigurationNode{Name: name, State: state, Message: message}
}

func TestOfConfiguration(t *testing.T) {
	active, waiting, failed := node("a", v0.DiscoveryActive, ""), node("b", v0.DiscoveryWaiting, ""), node("c", v0.DiscoveryFailed, "bad rule")
	accepted := func(s metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: BrokerSpecAccepted, Status: s, Reason: reason, Message: "m", LastTransitionTime: t0}}
	}
	for _, tt := range []struct {
		name     string
		nodes    []v0.ConfigurationNode
		old      []metav1.Condition
		noBroker bool
		verdict  Verdict
		want     string
		message  string
	}{
		{"nothing known", nil, nil, false, Verdict{}, "", ""},
		{"all nodes", []v0.ConfigurationNode{active}, nil, false, Verdict{}, "Discovering=True AllNodes", "1 of 1"},
		{"some nodes", []v0.ConfigurationNode{active, waiting, failed}, nil, false, Verdict{}, "Discovering=True SomeNodes", "1 of 3 nodes, 1 wait for one, 1 failed: c: bad rule"},
		{"waiting", []v0.ConfigurationNode{waiting}, nil, false, Verdict{}, "Discovering=False WaitingForHandler", "0 of 1"},
		{"failed", []v0.ConfigurationNode{waiting, failed}, nil, false, Verdict{}, "Discovering=False DiscoveryFailed", "bad rule"},
		{"never refused", nil, nil, false, Verdict{Tried: true}, "", ""},
		{"refused", nil, nil, false, Verdict{true, "image: required"}, "BrokerSpecAccepted=False Refused", "image: required"},
		{"refused again", nil, accepted("False", ReasonRefused), false, Verdict{true, "m"}, "BrokerSpecAccepted=False Refused*", "m"},
		{"refused for another reason", nil, accepted("False", ReasonRefused), false, Verdict{true, "n"}, "BrokerSpecAccepted=False Refused*", "n"},
		{"accepted at last", nil, accepted("False", ReasonRefused), false, Verdict{Tried: true}, "BrokerSpecAccepted=True Accepted", ""},
		{"a new controller knows nothing", nil, accepted("False", ReasonRefused), false, Verdict{}, "BrokerSpecAccepted=False Refused*", "m"},
		{"no broker any more", nil, accepted("False", ReasonRefused), true, Verdict{}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &v0.Configuration{}
			c.Status.Nodes, c.Status.Conditions = tt.nodes, tt.old
			if !tt.noBroker {
				c.Spec.BrokerSpec = &v0.BrokerSpec{}
			}
			got := OfConfiguration(c, tt.verdict, t1)
			if brief(got) != tt.want {
				t.Errorf("have %q, want %q", brief(got), tt.want)
			}
			if tt.message != "" && (len(got) == 0 || !strings.Contains(got[0].Message, tt.message)) {
				t.Errorf("message of %+v, want %q", got, tt.message)
			}
			c.Status.Conditions = got
			if again := OfConfiguration(c, tt.verdict, metav1.NewTime(t1.Add(time.Hour))); !Same(again, got) {
				t.Errorf("does not settle: %+v, then %+v", got, again)
			}
		})
	}
}

func TestOfServices(t *testing.T) {
	was := func(s metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: ServicesAccepted, Status: s, Reason: reason, Message: "m", LastTransitionTime: t0}}
	}
	for _, tt := range []struct {
		name    string
		old     []metav1.Condition
		none    bool
		verdict ServiceVerdict
		want    string
	}{
		{"nothing known", nil, false, ServiceVerdict{}, ""},
		{"never wrong", nil, false, ServiceVerdict{Tried: true}, ""},
		{"wrong", nil, false, ServiceVerdict{true, "ServiceSpecRefused", "port"}, "ServicesAccepted=False ServiceSpecRefused"},
		{"right at last", was("False", "ServiceSpecRefused"), false, ServiceVerdict{Tried: true}, "ServicesAccepted=True Accepted"},
		{"a new controller knows nothing", was("False", "ServiceNameTaken"), false, ServiceVerdict{}, "ServicesAccepted=False ServiceNameTaken*"},
		{"none wanted any more", was("False", "ServiceSpecRefused"), true, ServiceVerdict{}, ""},
	} {
		c := &v0.Configuration{}
		c.Status.Conditions = tt.old
		if !tt.none {
			c.Spec.ConfigurationServiceSpec = &runtime.RawExtension{}
		}
		got := OfServices(c, tt.verdict, t1)
		if brief(got) != tt.want {
			t.Errorf("%s: have %q, want %q", tt.name, brief(got), tt.want)
		}
		c.Status.Conditions = got
		if again := OfServices(c, tt.verdict, metav1.NewTime(t1.Add(time.Hour))); !Same(again, got) {
			t.Errorf("%s: does not settle", tt.name)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	c := &v0.Configuration{Spec: v0.ConfigurationSpec{BrokerSpec: &v0.BrokerSpec{}}}
	for i := range 1000 {
		c.Status.Nodes = append(c.Status.Nodes, node(fmt.Sprint("node-", i), v0.DiscoveryFailed, strings.Repeat("ü", 500)))
	}
	for _, got := range OfConfiguration(c, Verdict{true, strings.Repeat("x", 1<<20)}, t0) {
		if len(got.Message) > maxMessage+3 || !strings.HasSuffix(got.Message, "…") {
			t.Errorf("%s: message of %d bytes", got.Type, len(got.Message))
		}
	}
}

func TestOfInstance(t *testing.T) {
	away := v0.InstanceNode{Name: "a", State: v0.DeviceOffline}
	differs := v0.InstanceNode{Name: "a", State: v0.DeviceOnline, Reason: v0.ReasonPropertiesDiffer}
	moved := func(uid string) v0.InstanceNode {
		return v0.InstanceNode{Name: "a", State: v0.DeviceOnline, Reason: v0.ReasonDeviceChanged, Outdated: []v0.OutdatedSlot{{PodName: "p", PodUID: uid}}}
	}
	was := func(s metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: Online, Status: s, Reason: reason, LastTransitionTime: t0}}
	}
	for _, tt := range []struct {
		name   string
		nodes  []string
		status []v0.InstanceNode
		old    []metav1.Condition
		want   string
	}{
		{"plain", []string{"a"}, nil, nil, ""},
		{"says something else", []string{"a"}, []v0.InstanceNode{differs}, nil, ""},
		{"away", []string{"a"}, []v0.InstanceNode{away}, nil, "Online=False NotSeen"},
		{"away still", []string{"a"}, []v0.InstanceNode{away}, was("False", ReasonNotSeen), "Online=False NotSeen*"},
		{"another node sees it", []string{"a", "b"}, []v0.InstanceNode{away}, nil, ""},
		{"back", []string{"a"}, nil, was("False", ReasonNotSeen), "Online=True Seen"},
		{"back for long", []string{"a"}, nil, was("True", ReasonSeen), "Online=True Seen*"},
		{"no nodes", nil, nil, nil, "Online=False NotSeen"},
		{"a user's Pod holds it as it was", []string{"a"}, []v0.InstanceNode{moved("user")}, nil, "PodsCurrent=False DeviceChanged"},
		{"so does a broker", []string{"a"}, []v0.InstanceNode{moved("broker")}, nil, ""},
		{"the user's Pod was replaced", []string{"a"}, nil, []metav1.Condition{{Type: PodsCurrent, Status: "False", LastTransitionTime: t0}}, "PodsCurrent=True Replaced"},
		{"entry of a node that left", []string{"b"}, []v0.InstanceNode{away}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inst := &v0.Instance{Spec: v0.InstanceSpec{Nodes: tt.nodes}, Status: v0.InstanceStatus{Nodes: tt.status, Conditions: tt.old}}
			if got := brief(OfInstance(inst, map[types.UID]bool{"broker": true}, t1)); got != tt.want {
				t.Errorf("have %q, want %q", got, tt.want)
			}
		})
	}
}
