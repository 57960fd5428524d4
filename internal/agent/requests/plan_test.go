package requests

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

func configuration(namespace, name, uid string, age time.Duration) *v0.Configuration {
	return &v0.Configuration{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(uid), Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Unix(1_000_000, 0).Add(-age)),
		},
		Spec: v0.ConfigurationSpec{DiscoveryHandler: v0.DiscoveryHandlerInfo{Name: "udev"}},
	}
}

func TestPlan(t *testing.T) {
	deleting := configuration("a", "c", "0", time.Hour)
	deleting.DeletionTimestamp = &metav1.Time{}
	nameless := configuration("a", "x", "1", 0)
	nameless.Spec.DiscoveryHandler.Name = ""
	for _, c := range []struct {
		name    string
		all     []*v0.Configuration
		asked   string
		refused string // a part of the reason
	}{
		{name: "none"},
		{name: "one", all: []*v0.Configuration{configuration("a", "c", "1", 0)}, asked: "a/c"},
		{
			name:  "same name: the oldest",
			all:   []*v0.Configuration{configuration("a", "c", "1", 0), configuration("b", "c", "2", time.Hour)},
			asked: "b/c", refused: "belongs to the older Configuration b/c",
		},
		{
			name:  "same name and age: the lowest uid",
			all:   []*v0.Configuration{configuration("a", "c", "2", 0), configuration("b", "c", "1", 0)},
			asked: "b/c", refused: "b/c",
		},
		{
			name:  "one that is being deleted holds no name",
			all:   []*v0.Configuration{deleting, configuration("b", "c", "1", 0)},
			asked: "b/c",
		},
		{name: "too long", all: []*v0.Configuration{configuration("a", strings.Repeat("x", 57), "1", 0)}, refused: "shorter"},
		{name: "56 characters", all: []*v0.Configuration{configuration("a", strings.Repeat("x", 56), "1", 0)}, asked: "a/" + strings.Repeat("x", 56)},
		{name: "no handler", all: []*v0.Configuration{nameless}, refused: "discoveryHandler.name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, refused := Plan(c.all)
			var names, reasons []string
			for _, a := range asked {
				names = append(names, nameOf(a).String())
			}
			for _, r := range refused {
				reasons = append(reasons, r.Reason.Error())
			}
			if got := strings.Join(names, " "); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
			if got := strings.Join(reasons, " "); !strings.Contains(got, c.refused) || (c.refused == "") != (got == "") {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
		})
	}
}
