package selector

import "testing"

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		label, field, wideLabel, wideField string
		want                               bool
		rest                               string // fields that are left to look at
	}{
		{"", "", "", "", true, ""},
		{"a=b", "spec.nodeName=n", "", "", true, "spec.nodeName=n"},
		{"", "", "a=b", "", false, ""},
		{"", "", "", "spec.nodeName=n", false, ""},
		{"", "metadata.name=x,spec.nodeName=n", "", "spec.nodeName=n", true, "metadata.name=x"},
		{"", "metadata.name=x,spec.nodeName=m", "", "spec.nodeName=n", false, ""},
		{"", "spec.nodeName!=n", "", "spec.nodeName=n", false, ""},
		{"", "spec.nodeName=n", "", "spec.nodeName!=m", true, "spec.nodeName=n"},
		{"", "spec.nodeName=n", "", "spec.nodeName!=n", false, ""},
		{"", "metadata.namespace=a,metadata.name!=x", "", "", true, "metadata.name!=x,metadata.namespace=a"},
		// Whether the API server selects by it, only it can say, unless it has.
		{"", "spec.unheard=x", "", "", false, ""},
		{"", "spec.unheard=x,metadata.name=y", "", "spec.unheard=x", true, "metadata.name=y"},
		{"a==b,c", "", "c,a=b", "", true, ""},
		{"a in (x,y)", "", "a in (y,x)", "", true, ""},
		{"a=x", "", "a in (y,x)", "", true, ""},
		{"a in (x,z)", "", "a in (y,x)", "", false, ""},
		{"a in (y,x)", "", "a=x", "", false, ""},
		{"a=x", "", "a", "", true, ""},
		{"a", "", "a=x", "", false, ""},
		{"a!=x", "", "a", "", false, ""}, // that is fulfilled without the label
		{"a>5", "", "a", "", true, ""},
		{"a=x", "", "a!=y", "", true, ""},
		{"a=x", "", "a!=x", "", false, ""},
		{"a in (x,y)", "", "a notin (z,y)", "", false, ""},
		{"a in (x,y)", "", "a notin (z)", "", true, ""},
		{"!a", "", "a!=x", "", true, ""},
		{"!a", "", "a=x", "", false, ""},
		{"a notin (x,y)", "", "a!=x", "", true, ""},
		{"a!=x", "", "a notin (x,y)", "", false, ""},
		{"b=x", "", "a=x", "", false, ""},
		{"a=x", "", "!a", "", false, ""},
		{"a>5", "", "a>4", "", false, ""}, // it is, but said differently
	} {
		narrow, err := Parse("", "pods", c.label, c.field)
		if err != nil {
			t.Fatal(err)
		}
		wide, err := Parse("", "pods", c.wideLabel, c.wideField)
		if err != nil {
			t.Fatal(err)
		}
		rest, got := narrow.Within(wide)
		if got != c.want {
			t.Errorf("%q %q within %q %q: %v, want %v", c.label, c.field, c.wideLabel, c.wideField, got, c.want)
		}
		if got && (rest.Fields() != c.rest || rest.Labels() != narrow.Labels()) {
			t.Errorf("%q %q within %q %q: left is %q %q", c.label, c.field, c.wideLabel, c.wideField, rest.Labels(), rest.Fields())
		}
	}
}

// What is within a wider selector is selected by it, and the rest tells apart what
// it should.
func FuzzWithin(f *testing.F) {
	f.Add("app=x,tier in (a,b),!c", "spec.nodeName=n,metadata.name=a", "app,tier notin (c)", "spec.nodeName=n", `{"metadata":{"name":"a","labels":{"app":"x","tier":"a"}},"spec":{"nodeName":"n"}}`)
	f.Add("a>5", "status.phase!=b", "a", "", `{"metadata":{"labels":{"a":"6"}}}`)
	f.Fuzz(func(t *testing.T, label, field, wideLabel, wideField, object string) {
		narrow, err := Parse("", "pods", label, field)
		if err != nil {
			return
		}
		wide, err := Parse("", "pods", wideLabel, wideField)
		if err != nil {
			return
		}
		rest, ok := narrow.Within(wide)
		if !ok {
			return
		}
		o := []byte(object)
		if narrow.Matches(o) != (wide.Matches(o) && rest.Matches(o)) {
			t.Errorf("%q %q within %q %q, of %s: %v, %v and %v", label, field, wideLabel, wideField, object, narrow.Matches(o), wide.Matches(o), rest.Matches(o))
		}
	})
}
