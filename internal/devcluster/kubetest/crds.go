package kubetest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/poll"
)

// InstallCRDs creates the CRDs in a folder, and waits until they are served. It is
// for tests of what there is before; [WithCRDs] has them from the start.
func (s *Server) InstallCRDs(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return installCRDs(ctx, s.Config, dir)
}

// installCRDs creates the CRDs in dir's *.yaml files, one in each, and waits
// until their resources can be listed.
func installCRDs(ctx context.Context, cfg *rest.Config, dir string) error {
	files, err := fs.Glob(os.DirFS(dir), "*.yaml")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no CRDs in %s", dir)
	}
	quiet := rest.CopyConfig(cfg)
	quiet.WarningHandler = rest.NoWarnings{} // the schema is checked where it is generated
	client, err := apiextensionsclient.NewForConfig(quiet)
	if err != nil {
		return err
	}
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	var created []*apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &crd); err != nil {
			return fmt.Errorf("parse %s: %w", file, err)
		}
		if err := create(ctx, func() error {
			_, err := crds.Create(ctx, &crd, metav1.CreateOptions{})
			return err
		}); err != nil {
			return fmt.Errorf("create CRD %s: %w", crd.Name, err)
		}
		created = append(created, &crd)
	}
	rc := client.Discovery().RESTClient()
	for _, crd := range created {
		err := wait.PollUntilContextCancel(ctx, 25*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			got, err := crds.Get(ctx, crd.Name, metav1.GetOptions{})
			if err != nil || !established(got) {
				return false, nil // a busy server may not answer in time
			}
			// A served version may answer a moment after the condition is true.
			for _, v := range got.Spec.Versions {
				path := fmt.Sprintf("/apis/%s/%s/%s", got.Spec.Group, v.Name, got.Spec.Names.Plural)
				if v.Served && rc.Get().AbsPath(path).Param("limit", "1").Do(ctx).Error() != nil {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil {
			return fmt.Errorf("wait for CRD %s: %w", crd.Name, err)
		}
	}
	return nil
}

// create creates an object, again if a busy server has not answered in time.
func create(ctx context.Context, do func() error) error {
	unclear := false
	return poll.Until(ctx, "it is created", 100*time.Millisecond, func(context.Context) error {
		err := do()
		switch {
		case unclear && apierrors.IsAlreadyExists(err):
			return nil
		case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsAlreadyExists(err):
			return poll.Fatal(err)
		}
		unclear = err != nil
		return err
	})
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
}
