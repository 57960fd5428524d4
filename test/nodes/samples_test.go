//go:build e2e

package nodes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/samples"
	"github.com/akri-go/akri/test/testcluster"
)

// openApp applies the manifest of a sample application in a namespace, with some
// texts replaced as in [strings.NewReplacer], and returns the address of its page.
func openApp(t *testing.T, ns, name string, replace ...string) (page string) {
	t.Helper()
	manifest, err := samples.Manifest(fmt.Sprintf("apps/%s/%[1]s.yaml", name))
	if err != nil {
		t.Fatal(err)
	}
	replace = append(replace, "namespace: default", "namespace: "+ns)
	manifest = []byte(strings.NewReplacer(replace...).Replace(string(manifest)))
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := d.Decode(object); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		create(t, object)
	}
	var service corev1.Service
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "akri-" + name + "-app"}, &service); err != nil {
		t.Fatal(err)
	}
	page = fmt.Sprintf("http://%s:%d", bed.Network().Node(1), service.Spec.Ports[0].NodePort)
	testcluster.Eventually(t, waitTimeout, func(ctx context.Context) error {
		_, err := read(ctx, page+"/healthz")
		return err
	})
	return page
}

// read returns the text at a URL.
func read(ctx context.Context, url string) (string, error) {
	resp, err := get(ctx, url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(text), err
}

func get(ctx context.Context, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(request)
	if err == nil && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return resp, err
}
