package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestOfTwins(t *testing.T) {
	was := []metav1.Condition{{Type: DevicesExclusive, Status: metav1.ConditionFalse, Reason: ReasonFoundTwice, LastTransitionTime: t0}}
	twin := func(n int, namespace string) Twin {
		return Twin{fmt.Sprintf("cam-%06d", n), "/devices/usb1", fmt.Sprintf("all-%06d", n), types.NamespacedName{Namespace: namespace, Name: "all"}}
	}
	for _, tt := range []struct {
		name  string
		old   []metav1.Condition
		twins []Twin
		want  string
		says  []string
		not   string
	}{
		{name: "none"},
		{name: "none any more", old: was, want: "DevicesExclusive=True Exclusive"},
		{name: "one", twins: []Twin{twin(1, "edge")}, want: "DevicesExclusive=False FoundTwice",
			says: []string{"Instance cam-000001 (/devices/usb1) is the same device as Instance all-000001 of Configuration all: two users"}},
		{name: "by its id and its place", twins: []Twin{twin(1, "edge"), twin(1, "edge")}, want: "DevicesExclusive=False FoundTwice", not: "; Instance"},
		{name: "in another namespace", twins: []Twin{twin(1, "yard")}, want: "DevicesExclusive=False FoundTwice",
			says: []string{"one of a Configuration in another namespace"}, not: "all-000001"},
		{name: "many", twins: []Twin{twin(3, "edge"), twin(1, "edge"), twin(2, "edge"), twin(4, "edge"), twin(5, "edge")}, want: "DevicesExclusive=False FoundTwice",
			says: []string{"cam-000001", "cam-000003", "and 2 more"}, not: "cam-000004"},
	} {
		c := &v0.Configuration{}
		c.Namespace, c.Status.Conditions = "edge", tt.old
		got := OfTwins(c, tt.twins, t1)
		if brief(got) != tt.want {
			t.Errorf("%s: have %q, want %q", tt.name, brief(got), tt.want)
			continue
		}
		for _, part := range tt.says {
			if !strings.Contains(got[0].Message, part) {
				t.Errorf("%s: %q does not say %q", tt.name, got[0].Message, part)
			}
		}
		if tt.not != "" && strings.Contains(got[0].Message, tt.not) {
			t.Errorf("%s: %q says %q", tt.name, got[0].Message, tt.not)
		}
		c.Status.Conditions = got
		if again := OfTwins(c, tt.twins, metav1.NewTime(t1.Add(time.Hour))); Compare(again, got) != Nothing {
			t.Errorf("%s: does not settle", tt.name)
		}
	}
}
