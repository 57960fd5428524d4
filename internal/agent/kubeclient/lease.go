package kubeclient

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Lease is a coordination.k8s.io/v1 Lease, as far as the agent writes it.
type Lease struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        LeaseMeta `json:"metadata"`
	Spec            LeaseSpec `json:"spec"`
}

// LeaseMeta is the metadata of a Lease.
type LeaseMeta struct {
	Name            string                  `json:"name"`
	Namespace       string                  `json:"namespace"`
	Labels          map[string]string       `json:"labels,omitempty"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

// LeaseSpec is the spec of a Lease.
type LeaseSpec struct {
	HolderIdentity       string           `json:"holderIdentity"`
	LeaseDurationSeconds int32            `json:"leaseDurationSeconds"`
	RenewTime            metav1.MicroTime `json:"renewTime"`
}

// ApplyLease writes a Lease by a forced server-side apply.
func (c *Client) ApplyLease(ctx context.Context, l Lease, manager string) error {
	ctx, cancel := withTimeout(ctx, shortTimeout)
	defer cancel()
	l.APIVersion, l.Kind = "coordination.k8s.io/v1", "Lease"
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return c.rest.Patch(types.ApplyPatchType).
		AbsPath("/apis/coordination.k8s.io/v1/namespaces", l.Metadata.Namespace, "leases", l.Metadata.Name).
		Param("fieldManager", manager).Param("force", "true").
		Body(body).Do(ctx).Error()
}
