package kubeclient

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v0 "github.com/akri-go/akri/api/v0"
)

// Apply is one server-side apply.
type Apply struct {
	// Manager is the field manager, 128 bytes at most.
	Manager string
	// Force takes fields from other managers instead of failing with a
	// conflict.
	Force bool
	// Subresource is "" or "status".
	Subresource string
	// Body is the applied object, as JSON.
	Body []byte
}

// subresources returns the arguments of rest.Request.SubResource.
func subresources(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// ApplyInstance applies, and returns the resulting Instance. Errors are those
// of the API server ([apierrors]).
func (c *Client) ApplyInstance(ctx context.Context, name types.NamespacedName, a Apply) (*v0.Instance, error) {
	ctx, cancel := withTimeout(ctx, RequestTimeout)
	defer cancel()
	out := new(v0.Instance)
	err := c.rest.Patch(types.ApplyPatchType).
		Resource(v0.InstancesResource).Namespace(name.Namespace).Name(name.Name).
		SubResource(subresources(a.Subresource)...).
		Param("fieldManager", a.Manager).
		Param("force", strconv.FormatBool(a.Force)).
		Body(a.Body).Do(ctx).Into(out)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// PatchInstance applies a JSON patch (RFC 6902) under a field manager, and
// returns the resulting Instance. A failed test is an error of reason Invalid.
func (c *Client) PatchInstance(ctx context.Context, name types.NamespacedName, subresource, manager string, patch []byte) (*v0.Instance, error) {
	ctx, cancel := withTimeout(ctx, RequestTimeout)
	defer cancel()
	out := new(v0.Instance)
	err := c.rest.Patch(types.JSONPatchType).
		Resource(v0.InstancesResource).Namespace(name.Namespace).Name(name.Name).
		SubResource(subresources(subresource)...).
		Param("fieldManager", manager).
		Body(patch).Do(ctx).Into(out)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteInstance deletes an Instance if it still has this UID and resource
// version. gone is false if a finalizer keeps it.
func (c *Client) DeleteInstance(ctx context.Context, name types.NamespacedName, uid types.UID, resourceVersion string) (gone bool, err error) {
	ctx, cancel := withTimeout(ctx, RequestTimeout)
	defer cancel()
	body, err := json.Marshal(metav1.DeleteOptions{
		TypeMeta:      metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &resourceVersion},
	})
	if err != nil {
		return false, err
	}
	result := c.rest.Delete().
		Resource(v0.InstancesResource).Namespace(name.Namespace).Name(name.Name).
		Body(body).Do(ctx)
	if err := result.Error(); err != nil {
		return false, err // with the server's message, which Raw leaves out
	}
	raw, err := result.Raw()
	if err != nil {
		return false, err
	}
	var answer metav1.TypeMeta
	if err := json.Unmarshal(raw, &answer); err != nil {
		return false, fmt.Errorf("delete Instance %s: read the answer: %w", name, err)
	}
	return answer.Kind == "Status", nil
}

// GetInstance reads an Instance; nil if it does not exist.
func (c *Client) GetInstance(ctx context.Context, name types.NamespacedName) (*v0.Instance, error) {
	ctx, cancel := withTimeout(ctx, RequestTimeout)
	defer cancel()
	out := new(v0.Instance)
	err := c.rest.Get().Resource(v0.InstancesResource).Namespace(name.Namespace).Name(name.Name).Do(ctx).Into(out)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return out, nil
}

// pageSize is how many Instances EachInstance reads in one request.
const pageSize = 500

// EachInstance calls f with every Instance that the selector matches, in all
// namespaces, as they are read. F owns what it is given.
func (c *Client) EachInstance(ctx context.Context, selector string, f func(*v0.Instance)) error {
	options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		meta, err := list(ctx, c, v0.InstancesResource, options, f)
		if err != nil {
			return fmt.Errorf("list Instances: %w", err)
		}
		if options.Continue = meta.Continue; options.Continue == "" {
			return nil
		}
	}
}

// GetConfiguration reads a Configuration; nil if it does not exist. It has no
// specs of brokers and Services, managedFields and conditions.
func (c *Client) GetConfiguration(ctx context.Context, name types.NamespacedName) (*v0.Configuration, error) {
	ctx, cancel := withTimeout(ctx, RequestTimeout)
	defer cancel()
	out := new(v0.Configuration)
	err := c.rest.Get().Resource(v0.ConfigurationsResource).Namespace(name.Namespace).Name(name.Name).Do(ctx).Into(out)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	trimConfiguration(out)
	return out, nil
}

// ApplyConfigurationStatus applies to the status subresource of a Configuration.
func (c *Client) ApplyConfigurationStatus(ctx context.Context, name types.NamespacedName, manager string, body []byte) error {
	ctx, cancel := withTimeout(ctx, RequestTimeout)
	defer cancel()
	return c.rest.Patch(types.ApplyPatchType).
		Resource(v0.ConfigurationsResource).Namespace(name.Namespace).Name(name.Name).SubResource("status").
		Param("fieldManager", manager).
		Body(body).Do(ctx).Error()
}
