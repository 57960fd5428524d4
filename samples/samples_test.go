package samples

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	akri "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/admission"
	"github.com/akri-go/akri/internal/images"
)

// Every manifest decodes strictly, and its images are ones that `make images`
// makes with the tag that it gives them.
func TestManifests(t *testing.T) {
	kinds := map[string]func() any{
		"Configuration": func() any { return new(akri.Configuration) }, "ServiceAccount": func() any { return new(corev1.ServiceAccount) },
		"ClusterRole": func() any { return new(rbacv1.ClusterRole) }, "ClusterRoleBinding": func() any { return new(rbacv1.ClusterRoleBinding) },
		"Role": func() any { return new(rbacv1.Role) }, "RoleBinding": func() any { return new(rbacv1.RoleBinding) },
		"Deployment": func() any { return new(appsv1.Deployment) }, "Service": func() any { return new(corev1.Service) },
	}
	tag, err := images.DefaultTag(false)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, i := range images.All() {
		made[images.DefaultPrefix+"/"+i.Name+":"+tag] = true
	}
	image := regexp.MustCompile(`image: (\S+)`)
	found := 0
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		data, err := Manifest(path)
		if err != nil {
			return err
		}
		for _, m := range image.FindAllSubmatch(data, -1) {
			if !made[string(m[1])] {
				t.Errorf("%s: no image %s is made", path, m[1])
			}
		}
		for r := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))); ; {
			doc, err := r.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			var meta metav1.TypeMeta
			if err := yaml.Unmarshal(doc, &meta); err != nil {
				return err
			}
			into := kinds[meta.Kind]
			if into == nil {
				t.Errorf("%s: kind %q is not known to this test", path, meta.Kind)
				continue
			}
			object := into()
			if err := yaml.UnmarshalStrict(doc, object); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if c, ok := object.(*akri.Configuration); ok {
				checkBroker(t, path, c)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 5 {
		t.Errorf("%d manifests", found)
	}
}

func checkBroker(t *testing.T, path string, c *akri.Configuration) {
	if c.Spec.Capacity == 0 {
		c.Spec.Capacity = 1 // as the CRD has it
	}
	errs, warnings := admission.Check(c, nil, admission.Facts{})
	if len(errs) > 0 {
		t.Errorf("%s: refused: %v", path, errs)
	}
	for _, w := range warnings {
		if !strings.Contains(w, "upstream Akri") {
			t.Errorf("%s: warning %q", path, w)
		}
	}
	if c.Spec.BrokerSpec == nil {
		return
	}
	var pod corev1.PodSpec
	if err := yaml.UnmarshalStrict(c.Spec.BrokerSpec.BrokerPodSpec.Raw, &pod); err != nil {
		t.Errorf("%s: brokerPodSpec: %v", path, err)
		return
	}
	slots := pod.Containers[0].Resources.Limits[corev1.ResourceName(akri.Placeholder)]
	if slots.Value() != 1 {
		t.Errorf("%s: the broker asks for %v of %s", path, slots, akri.Placeholder)
	}
	if sc := pod.Containers[0].SecurityContext; sc == nil || sc.Privileged != nil || !strings.Contains(sc.Capabilities.String(), "ALL") {
		t.Errorf("%s: security context %v", path, sc)
	}
	var service corev1.ServiceSpec
	if err := yaml.UnmarshalStrict(c.Spec.InstanceServiceSpec.Raw, &service); err != nil {
		t.Errorf("%s: instanceServiceSpec: %v", path, err)
	}
}
