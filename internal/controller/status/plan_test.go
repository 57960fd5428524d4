package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/workload/health"
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

type configurationCase struct {
	name     string
	nodes    []v0.ConfigurationNode
	old      []metav1.Condition
	noBroker bool
	verdict  Verdict
	want     string
	message  string
}

func (c configurationCase) facts() Facts { return Facts{Verdict: c.verdict, Silent: silent} }

// silent tells of the agent of the node "dead".
func silent(node string) bool { return node == "dead" }

func TestOfConfiguration(t *testing.T) {
	active, waiting, failed := node("a", v0.DiscoveryActive, ""), node("b", v0.DiscoveryWaiting, ""), node("c", v0.DiscoveryFailed, "bad rule")
	accepted := func(s metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: BrokerSpecAccepted, Status: s, Reason: reason, Message: "m", LastTransitionTime: t0}}
	}
	for _, tt := range []configurationCase{
		{"nothing known", nil, nil, false, Verdict{}, "", ""},
		{"all nodes", []v0.ConfigurationNode{active}, nil, false, Verdict{}, "Discovering=True AllNodes", "1 of 1"},
		{"some nodes", []v0.ConfigurationNode{active, waiting, failed}, nil, false, Verdict{}, "Discovering=True SomeNodes", "1 of 3 nodes, 1 waiting for one, 1 failed: c: bad rule"},
		{"waiting", []v0.ConfigurationNode{waiting}, nil, false, Verdict{}, "Discovering=False WaitingForHandler", "0 of 1"},
		{"failed", []v0.ConfigurationNode{waiting, failed}, nil, false, Verdict{}, "Discovering=False DiscoveryFailed", "bad rule"},
		{"never refused", nil, nil, false, Verdict{Tried: true}, "", ""},
		{"refused", nil, nil, false, Verdict{true, "image: required"}, "BrokerSpecAccepted=False Refused", "image: required"},
		{"refused again", nil, accepted("False", ReasonRefused), false, Verdict{true, "m"}, "BrokerSpecAccepted=False Refused*", "m"},
		{"refused for another reason", nil, accepted("False", ReasonRefused), false, Verdict{true, "n"}, "BrokerSpecAccepted=False Refused*", "n"},
		{"accepted at last", nil, accepted("False", ReasonRefused), false, Verdict{Tried: true}, "BrokerSpecAccepted=True Accepted", ""},
		{"a new controller knows nothing", nil, accepted("False", ReasonRefused), false, Verdict{}, "BrokerSpecAccepted=False Refused*", "m"},
		{"no longer a broker", nil, accepted("False", ReasonRefused), true, Verdict{}, "", ""},
		{"the only agent is silent", []v0.ConfigurationNode{node("dead", v0.DiscoveryActive, "")}, nil, false, Verdict{},
			"Discovering=Unknown AgentNotResponding", "0 of 1 nodes, no agent responds on dead"},
		{"one of two agents is silent", []v0.ConfigurationNode{active, node("dead", v0.DiscoveryActive, "")}, nil, false, Verdict{},
			"Discovering=True SomeNodes", "1 of 2 nodes, no agent responds on dead"},
		{"a silent agent, and one that waits", []v0.ConfigurationNode{waiting, node("dead", v0.DiscoveryActive, "")}, nil, false, Verdict{},
			"Discovering=Unknown AgentNotResponding", "0 of 2 nodes, 1 waiting for one, no agent responds on dead"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &v0.Configuration{}
			c.Status.Nodes, c.Status.Conditions = tt.nodes, tt.old
			if !tt.noBroker {
				c.Spec.BrokerSpec = &v0.BrokerSpec{}
			}
			got := OfConfiguration(c, tt.facts(), t1)
			if brief(got) != tt.want {
				t.Errorf("have %q, want %q", brief(got), tt.want)
			}
			if tt.message != "" && (len(got) == 0 || !strings.Contains(got[0].Message, tt.message)) {
				t.Errorf("message of %+v, want %q", got, tt.message)
			}
			c.Status.Conditions = got
			if again := OfConfiguration(c, tt.facts(), metav1.NewTime(t1.Add(time.Hour))); Compare(again, got) != Nothing {
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
		{"no longer wanted", was("False", "ServiceSpecRefused"), true, ServiceVerdict{}, ""},
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
		if again := OfServices(c, tt.verdict, metav1.NewTime(t1.Add(time.Hour))); Compare(again, got) != Nothing {
			t.Errorf("%s: does not settle", tt.name)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	c := &v0.Configuration{Spec: v0.ConfigurationSpec{BrokerSpec: &v0.BrokerSpec{}}}
	for i := range 1000 {
		c.Status.Nodes = append(c.Status.Nodes, node(fmt.Sprint("node-", i), v0.DiscoveryFailed, strings.Repeat("ü", 500)))
	}
	for _, got := range OfConfiguration(c, Facts{Verdict: Verdict{true, strings.Repeat("x", 1<<20)}}, t0) {
		if len(got.Message) > maxMessageBytes+3 || !strings.HasSuffix(got.Message, "…") {
			t.Errorf("%s: message of %d bytes", got.Type, len(got.Message))
		}
	}
}

func TestOfInstance(t *testing.T) {
	away := v0.InstanceNode{Name: "a", State: v0.DeviceOffline}
	differs := v0.InstanceNode{Name: "a", State: v0.DeviceOnline, Reason: v0.ReasonPropertiesDiffer}
	moved := func(pod string) v0.InstanceNode {
		return v0.InstanceNode{Name: "a", State: v0.DeviceOnline, Reason: v0.ReasonDeviceChanged, Outdated: []v0.OutdatedSlot{{PodName: pod}}}
	}
	was := func(kind string, s metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: s, Reason: reason, LastTransitionTime: t0}}
	}
	ready, starting, recovering := health.Broker{Name: "p"}, health.Broker{Name: "q", Health: health.Starting}, health.Broker{Name: "r", Health: health.Recovering}
	broken := health.Broker{Name: "s", Health: health.Broken, Reason: "CrashLoopBackOff", Why: "container c"}
	const seen = "Online=True Seen"
	for _, tt := range []struct {
		name    string
		nodes   []string
		status  []v0.InstanceNode
		old     []metav1.Condition
		brokers []health.Broker
		want    string
	}{
		{"plain", []string{"a"}, nil, nil, nil, seen},
		{"says something else", []string{"a"}, []v0.InstanceNode{differs}, nil, nil, seen},
		{"away", []string{"a"}, []v0.InstanceNode{away}, nil, nil, "Online=False NotSeen"},
		{"away still", []string{"a"}, []v0.InstanceNode{away}, was(Online, "False", ReasonNotSeen), nil, "Online=False NotSeen*"},
		{"another node sees it", []string{"a", "b"}, []v0.InstanceNode{away}, nil, nil, seen},
		{"back", []string{"a"}, nil, was(Online, "False", ReasonNotSeen), nil, seen},
		{"back for long", []string{"a"}, nil, was(Online, "True", ReasonSeen), nil, seen + "*"},
		{"no nodes", nil, nil, nil, nil, "Online=False NotSeen"},
		{"entry of a node that left", []string{"b"}, []v0.InstanceNode{away}, nil, nil, seen},
		{"its agent is silent", []string{"dead"}, nil, nil, nil, "Online=Unknown AgentNotResponding"},
		{"one of its agents is silent", []string{"dead", "b"}, nil, nil, nil, seen},
		{"one is silent, the other does not see it", []string{"dead", "a"}, []v0.InstanceNode{away}, nil, nil, "Online=Unknown AgentNotResponding"},

		{"a user's Pod holds it as it was", []string{"a"}, []v0.InstanceNode{moved("user")}, nil, nil, seen + ", PodsCurrent=False DeviceChanged"},
		{"so does a broker, which is about to go", []string{"a"}, []v0.InstanceNode{moved("cam-pod")}, nil, nil, seen},
		{"so does a Job's Pod", []string{"a"}, []v0.InstanceNode{moved("cam-1-job-x")}, nil, []health.Broker{{Name: "cam-1-job-x", Health: health.Starting}}, seen + ", PodsCurrent=False DeviceChanged"},
		{"the user's Pod was replaced", []string{"a"}, nil, was(PodsCurrent, "False", ReasonChanged), nil, seen + ", PodsCurrent=True Replaced"},

		{"broker runs", []string{"a"}, nil, nil, []health.Broker{ready}, seen + ", BrokersReady=True Running"},
		{"broker starts", []string{"a"}, nil, nil, []health.Broker{starting}, seen},
		{"one crashes", []string{"a"}, nil, nil, []health.Broker{ready, broken}, seen + ", BrokersReady=False CrashLoopBackOff"},
		{"runs between two crashes", []string{"a"}, nil, was(BrokersReady, "False", "CrashLoopBackOff"), []health.Broker{recovering}, seen + ", BrokersReady=False CrashLoopBackOff*"},
		{"was replaced, starts", []string{"a"}, nil, was(BrokersReady, "True", ReasonRunning), []health.Broker{starting}, seen + ", BrokersReady=True Running*"},
		{"no longer a broker", []string{"a"}, nil, was(BrokersReady, "False", "Error"), nil, seen},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inst := &v0.Instance{ObjectMeta: metav1.ObjectMeta{Name: "cam"}, Spec: v0.InstanceSpec{Nodes: tt.nodes}, Status: v0.InstanceStatus{Nodes: tt.status, Conditions: tt.old}}
			facts := Facts{Silent: silent, Brokers: tt.brokers}
			got := OfInstance(inst, facts, t1)
			if text := brief(got); text != tt.want {
				t.Errorf("have %q, want %q", text, tt.want)
			}
			inst.Status.Conditions = got
			if again := OfInstance(inst, facts, metav1.NewTime(t1.Add(time.Hour))); Compare(again, got) != Nothing {
				t.Errorf("does not settle: %+v, then %+v", got, again)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	c := func(status metav1.ConditionStatus, message string, generation int64) []metav1.Condition {
		return []metav1.Condition{{Type: Online, Status: status, Reason: "R", Message: message, ObservedGeneration: generation}}
	}
	for _, tt := range []struct {
		name       string
		want, have []metav1.Condition
		diff       Diff
	}{
		{"the same", c("True", "m", 1), c("True", "m", 1), Nothing},
		{"well, and new", c("True", "m", 1), nil, Later},
		{"not well, and new", c("False", "m", 1), nil, Now},
		{"no longer well", c("False", "m", 1), c("True", "m", 1), Now},
		{"well again", c("True", "m", 1), c("Unknown", "m", 1), Now},
		{"for another reason", c("False", "n", 1), c("False", "m", 1), Now},
		{"of another generation", c("True", "m", 2), c("True", "m", 1), Later},
		{"no longer said", nil, c("False", "m", 1), Now},
	} {
		if got := Compare(tt.want, tt.have); got != tt.diff {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.diff)
		}
	}
}
