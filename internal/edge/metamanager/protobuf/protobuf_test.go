package protobuf

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubeprotobuf "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

func encode(t testing.TB, o runtime.Object) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := kubeprotobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(o, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every type of the API that has metadata has it where it is looked for.
func TestEveryKind(t *testing.T) {
	codec := kubeprotobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	seen := 0
	for gvk := range scheme.Scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal {
			continue
		}
		o, err := scheme.Scheme.New(gvk)
		if err != nil {
			t.Fatal(err)
		}
		m, err := meta.Accessor(o)
		if err != nil {
			continue // lists and options
		}
		seen++
		m.SetName("a")
		m.SetNamespace("n")
		m.SetUID("u")
		m.SetResourceVersion("15")
		m.SetLabels(map[string]string{"x": "y"})
		o.GetObjectKind().SetGroupVersionKind(gvk)
		body := encode(t, o)
		want := Head{gvk.GroupVersion().String(), gvk.Kind, "n", "a", "15"}
		if got, err := ReadHead(body); err != nil || got != want {
			t.Errorf("%s: %+v, %v", gvk, got, err)
		}
		changed, err := WithResourceVersion(body, "1234567")
		if err != nil {
			t.Errorf("%s: %v", gvk, err)
			continue
		}
		m.SetResourceVersion("1234567")
		got, _, err := codec.Decode(changed, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", gvk, err)
			continue
		}
		got.GetObjectKind().SetGroupVersionKind(gvk)
		if !equality.Semantic.DeepEqual(got, o) {
			t.Errorf("%s: -want +got\n%s", gvk, cmp.Diff(o, got))
		}
	}
	if seen < 100 {
		t.Errorf("only %d kinds were seen", seen)
	}
}

func TestWithoutResourceVersion(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	p.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	body := encode(t, p)
	// Kubernetes writes empty fields, too.
	if got, err := WithResourceVersion(body, "7"); err != nil {
		t.Error(err)
	} else if h, err := ReadHead(got); err != nil || h.ResourceVersion != "7" {
		t.Errorf("%+v, %v", h, err)
	}
}

func options(t testing.TB, o metav1.DeleteOptions) []byte {
	o.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"})
	return encode(t, &o)
}

func TestDeleteOptions(t *testing.T) {
	rv, grace, policy := "15", int64(0), metav1.DeletePropagationForeground
	for _, c := range []struct {
		options metav1.DeleteOptions
		want    DeleteOptions
	}{
		{metav1.DeleteOptions{}, DeleteOptions{}},
		{metav1.DeleteOptions{GracePeriodSeconds: &grace, PropagationPolicy: &policy}, DeleteOptions{}},
		{metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions("u")}, DeleteOptions{}},
		{metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &rv}, GracePeriodSeconds: &grace}, DeleteOptions{ResourceVersion: "15"}},
		{metav1.DeleteOptions{DryRun: []string{"All"}}, DeleteOptions{DryRun: true}},
	} {
		body := options(t, c.options)
		got, err := ReadDeleteOptions(body)
		if err != nil || got != c.want {
			t.Errorf("%+v: %+v, %v", c.options, got, err)
		}
		changed, err := WithPrecondition(body, "7")
		if err != nil {
			t.Errorf("%+v: %v", c.options, err)
			continue
		}
		want := c.want.ResourceVersion
		if want != "" {
			want = "7"
		}
		if got, err := ReadDeleteOptions(changed); err != nil || got.ResourceVersion != want || got.DryRun != c.want.DryRun {
			t.Errorf("%+v: %+v, %v", c.options, got, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "15"}}
	p.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	good := encode(t, p)
	for name, body := range map[string][]byte{
		"nothing":                  nil,
		"JSON":                     []byte(`{"kind":"Pod"}`),
		"cut off":                  good[:len(good)-3],
		"two objects":              append(bytes.Clone(good), good[len(magic):]...),
		"another type of field":    append(bytes.Clone(magic), 2<<3, 1),
		"an object in another way": append(bytes.Clone(good), 4<<3|2, 1, 'x'),
		"compressed":               append(bytes.Clone(good), 3<<3|2, 1, 'x'),
	} {
		if h, err := ReadHead(body); err == nil {
			t.Errorf("%s is read: %+v", name, h)
		}
		if _, err := WithResourceVersion(body, "7"); err == nil {
			t.Errorf("%s is changed", name)
		}
	}
}

// Whatever a body is, it is refused, or changed in this one place.
func FuzzWithResourceVersion(f *testing.F) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "15"}}
	p.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	f.Add(encode(f, p))
	rv := "15"
	f.Add(options(f, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &rv}, DryRun: []string{"All"}}))
	f.Add([]byte("k8s\x00\x12\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if o, err := ReadDeleteOptions(body); err == nil && o.ResourceVersion != "" {
			changed, err := WithPrecondition(body, "1234567")
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ReadDeleteOptions(changed); err != nil || again.ResourceVersion != "1234567" || again.DryRun != o.DryRun {
				t.Fatalf("%+v became %+v, %v", o, again, err)
			}
		}
		h, err := ReadHead(body)
		if err != nil {
			return
		}
		changed, err := WithResourceVersion(body, "1234567")
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadHead(changed)
		if h.ResourceVersion != "" {
			h.ResourceVersion = "1234567"
		} else {
			again.ResourceVersion = "" // an empty one may be there, or none
		}
		if err != nil || again != h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}
