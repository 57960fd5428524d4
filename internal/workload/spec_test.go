package workload

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	v0 "github.com/akri-go/akri/api/v0"
)

func TestSpecsOf(t *testing.T) {
	raw := func(s string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(s)} }
	all := v0.ConfigurationSpec{
		BrokerSpec:          &v0.BrokerSpec{BrokerPodSpec: raw("{}"), BrokerJobSpec: raw("{}")},
		InstanceServiceSpec: raw("{}"), ConfigurationServiceSpec: raw("{}"),
	}
	for _, tt := range []struct {
		name string
		spec v0.ConfigurationSpec
		want []string
	}{
		{"nothing", v0.ConfigurationSpec{}, nil},
		{"an empty brokerSpec", v0.ConfigurationSpec{BrokerSpec: &v0.BrokerSpec{}}, nil},
		{"null and empty", v0.ConfigurationSpec{BrokerSpec: &v0.BrokerSpec{BrokerPodSpec: raw("null")}, InstanceServiceSpec: raw("")}, nil},
		{"all", all, []string{"spec.brokerSpec.brokerPodSpec", "spec.brokerSpec.brokerJobSpec", "spec.instanceServiceSpec", "spec.configurationServiceSpec"}},
	} {
		var have []string
		for _, s := range SpecsOf(&v0.Configuration{Spec: tt.spec}) {
			have = append(have, s.Path.String())
		}
		if !slices.Equal(have, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, have, tt.want)
		}
	}
	if SpecsOf(nil) != nil {
		t.Error("no Configuration has specs")
	}
}

func TestSame(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":2}`, `{ "b": 2, "a": 1 }`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, ``, false},
		{``, ``, false},
		{`{`, `{`, false},
	} {
		spec := func(s string) Spec {
			if s == "" {
				return Spec{}
			}
			return Spec{Raw: []byte(s)}
		}
		if got := spec(tt.a).Same(spec(tt.b)); got != tt.want {
			t.Errorf("%q and %q: %t", tt.a, tt.b, got)
		}
	}
}
