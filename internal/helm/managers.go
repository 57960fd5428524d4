package helm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	helmrelease "helm.sh/helm/v4/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/util/csaupgrade"
)

// helmManager is the field manager of the command helm. Helm cannot change what
// another manager has applied, so installs here use this name too.
const helmManager = "helm"

// asHelm sets the name in Helm's library: it has one for the whole process, by
// default the program's.
var asHelm = sync.OnceFunc(func() { kube.ManagedFieldsManager = helmManager })

// giveToHelm makes helm the manager of the fields of a release's objects that
// this program manages: earlier versions of it installed under its own name.
func giveToHelm(ctx context.Context, cfg *action.Configuration, release string) error {
	last, err := cfg.Releases.Last(release)
	if err != nil {
		return err
	}
	acc, err := helmrelease.NewAccessor(last)
	if err != nil {
		return err
	}
	// Objects of kinds that no longer exist have no fields to give.
	objects, err := cfg.KubeClient.Build(strings.NewReader(acc.Manifest()), false)
	if err != nil {
		return fmt.Errorf("read the objects of release %s: %w", release, err)
	}
	ours := sets.New("akri", filepath.Base(os.Args[0])).Delete(helmManager)
	return objects.Visit(func(info *resource.Info, err error) error {
		if err != nil {
			return err
		}
		if err := giveObject(ctx, info, ours); err != nil {
			return fmt.Errorf("make helm the field manager of %s %s: %w", info.Mapping.GroupVersionKind.Kind, info.Name, err)
		}
		return nil
	})
}

func giveObject(ctx context.Context, info *resource.Info, ours sets.Set[string]) error {
	helper := resource.NewHelper(info.Client, info.Mapping)
	for {
		err := info.Get()
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		object, err := meta.Accessor(info.Object)
		if err != nil {
			return err
		}
		// The library moves only the fields of updates, so applies become updates.
		fields := object.GetManagedFields()
		for i, f := range fields {
			if f.Operation == metav1.ManagedFieldsOperationApply && ours.Has(f.Manager) && f.Subresource == "" {
				fields[i].Operation = metav1.ManagedFieldsOperationUpdate
			}
		}
		object.SetManagedFields(fields)
		patch, err := csaupgrade.UpgradeManagedFieldsPatch(info.Object, ours, helmManager)
		if err != nil || patch == nil {
			return err
		}
		_, err = helper.Patch(info.Namespace, info.Name, types.JSONPatchType, patch, nil)
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return err
		}
	}
}
