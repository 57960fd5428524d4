package node

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
)

// nobody is the name in the request to look for Instances that are [Abandoned]; no
// Node has it.
const nobody = ""

// abandoned deletes the Instances that name no node. What the cache shows is
// enough: the deletion is of that version of the Instance.
func (r *Reconciler) abandoned(ctx context.Context) error {
	list := &v0.InstanceList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Instances: %w", err)
	}
	var errs []error
	for i := range list.Items {
		inst := &list.Items[i]
		if inst.DeletionTimestamp != nil || !Abandoned(of(inst)) {
			continue
		}
		key := client.ObjectKeyFromObject(inst)
		err := r.Client.Delete(ctx, inst, client.Preconditions{UID: &inst.UID, ResourceVersion: &inst.ResourceVersion})
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err): // what has changed comes as another request
		case err != nil:
			errs = append(errs, fmt.Errorf("delete Instance %s, which names no node: %w", key, err))
		default:
			r.Log.Info("Instance deleted: no node sees its device or holds a slot", "instance", key)
		}
	}
	return errors.Join(errs...)
}
