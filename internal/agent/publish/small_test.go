package publish

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestManagers(t *testing.T) {
	if got := FactsManager("node-1"); got != "akri-agent/node-1" {
		t.Error(got)
	}
	if got := SlotsManager("node-1"); got != "akri-slots/node-1" {
		t.Error(got)
	}
	long := strings.Repeat("n", 252)
	seen := map[string]bool{}
	for _, m := range []string{
		FactsManager(long + "a"), FactsManager(long + "b"), SlotsManager(long + "a"),
		FactsManager(strings.Repeat("n", 117)), FactsManager(strings.Repeat("n", 118)),
	} {
		if len(m) > 128 || seen[m] {
			t.Errorf("manager %q (%d bytes)", m, len(m))
		}
		seen[m] = true
	}
}

func TestTrimmer(t *testing.T) {
	o := &v0.Instance{Spec: v0.InstanceSpec{Shared: true}, Status: v0.InstanceStatus{Conditions: []metav1.Condition{{Type: "Online"}}}}
	o.ManagedFields = []metav1.ManagedFieldsEntry{
		ownership("a", true, "K"), ownership("b", true),
		{Manager: FactsManager("a"), Operation: metav1.ManagedFieldsOperationApply, Subresource: "status"},
		{Manager: FactsManager("a"), Operation: metav1.ManagedFieldsOperationUpdate},
		{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply},
	}
	local := o.DeepCopy()
	local.Spec.Shared = false
	trimmer("a")(o)
	if own := ownedBy("a", o); !own.any || !own.capacity || !maps.Equal(own.properties, map[string]bool{"K": true}) ||
		len(o.ManagedFields) != 1 || o.Status.Conditions != nil {
		t.Errorf("trimmed to %+v", o)
	}
	if trimmer("a")(local); local.ManagedFields != nil {
		t.Errorf("a local Instance keeps %v", local.ManagedFields)
	}
	// Nothing that can stand there makes it fail.
	for _, raw := range []string{"", "null", "[]", `{"f:spec":1}`, `{"f:spec":{"f:brokerProperties":{"k":{},".":{}}}}`} {
		m := ownership("a", false)
		m.FieldsV1 = metav1.NewFieldsV1(raw)
		o.ManagedFields = []metav1.ManagedFieldsEntry{m}
		if own := ownedBy("a", o); !own.any || own.capacity || len(own.properties) != 0 {
			t.Errorf("%q is read as %+v", raw, own)
		}
	}
}

func TestUrgentFirst(t *testing.T) {
	urgent := map[string]bool{}
	q := newQueue(func(n types.NamespacedName) bool { return urgent[n.Name] })
	defer q.ShutDown()
	for _, n := range []string{"a", "b", "c", "d"} {
		q.Add(types.NamespacedName{Name: n})
	}
	urgent["c"], urgent["x"] = true, true
	q.Add(types.NamespacedName{Name: "c"}) // in the queue already
	q.Add(types.NamespacedName{Name: "x"})
	var got []string
	for q.Len() > 0 {
		n, _ := q.Get()
		got = append(got, n.Name)
		q.Done(n)
	}
	if want := []string{"c", "x", "a", "b", "d"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"10", "9", true}, {"9", "10", false}, {"9", "9", false}, {"x", "9", true}} {
		if newer(c.a, c.b) != c.want {
			t.Errorf("newer(%s, %s) is not %v", c.a, c.b, c.want)
		}
	}
}

var errTest = errors.New("test")

// An Instance that has not the first of its device's names is adopted as well;
// one whose name is none of them is not.
func TestAdoptedNames(t *testing.T) {
	d := deviceFor("a", false, nil)
	for n, want := range map[int]bool{0: true, 1: true, v0.OtherDeviceHashes: true, v0.OtherDeviceHashes + 1: false} {
		d.Instance.Name = v0.InstanceName("cam", v0.NthDeviceHash("camera", "a", false, n))
		o := published("a", d, "a")
		if got, ok := deviceOf("a", d.Instance, o); ok != want || ok && got.Instance != d.Instance {
			t.Errorf("by name %d: %v, %v", n, got.Instance, ok)
		}
	}
}
