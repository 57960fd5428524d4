// Package coreapi reads the few core objects that an agent needs, without a
// clientset: the Secrets and ConfigMaps that Configurations refer to, and the
// names of the node's Pods. No error contains data of a Secret.
package coreapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Client reads core objects.
type Client struct {
	rest rest.Interface
	node string
}

// New returns a client for what the agent of a node needs.
func New(config *rest.Config, node string) (*Client, error) {
	c := rest.CopyConfig(config)
	c.APIPath = "/api"
	c.GroupVersion = &schema.GroupVersion{Version: "v1"}
	c.ContentType = runtime.ContentTypeJSON
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, *c.GroupVersion) // the server's Status: its words are in errors
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	// A Configuration may refer to many Secrets, each a read and a watch.
	c.QPS, c.Burst = 20, 40
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("make a client of the core API: %w", err)
	}
	return &Client{rest: client, node: node}, nil
}

// metadataOnly asks for a list without specs and status.
const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// get reads one answer; found is false if the object is not there.
func (c *Client) get(ctx context.Context, path, accept string, query url.Values, into any) (found bool, err error) {
	r := c.rest.Get().AbsPath(path).SetHeader("Accept", accept)
	for name, values := range query {
		r.Param(name, values[0])
	}
	raw, err := body(r.Do(ctx))
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return true, nil
}

// body returns an answer. An error has the server's own words.
func body(r rest.Result) ([]byte, error) {
	if err := r.Error(); err != nil {
		return nil, err
	}
	return r.Raw()
}

// Pods returns the Pods of the node that have not ended, by UID.
func (c *Client) Pods(ctx context.Context) (map[types.UID]types.NamespacedName, error) {
	var list metav1.PartialObjectMetadataList
	_, err := c.get(ctx, "/api/v1/pods", metadataOnly, url.Values{
		"fieldSelector": {"spec.nodeName=" + c.node + ",status.phase!=Succeeded,status.phase!=Failed"},
	}, &list)
	if err != nil {
		return nil, fmt.Errorf("list the Pods of node %s: %w", c.node, err)
	}
	pods := make(map[types.UID]types.NamespacedName, len(list.Items))
	for _, p := range list.Items {
		pods[p.UID] = types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	}
	return pods, nil
}

// Owner returns the controlling owner of a Pod, such as a DaemonSet, or the Pod
// itself if it has none.
func (c *Client) Owner(ctx context.Context, pod types.NamespacedName) ([]metav1.OwnerReference, error) {
	var list metav1.PartialObjectMetadataList
	_, err := c.get(ctx, "/api/v1/namespaces/"+pod.Namespace+"/pods", metadataOnly, url.Values{
		"fieldSelector": {"metadata.name=" + pod.Name},
	}, &list)
	if err != nil {
		return nil, fmt.Errorf("read Pod %s: %w", pod, err)
	}
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("there is no Pod %s", pod)
	}
	p := &list.Items[0]
	if o := metav1.GetControllerOf(p); o != nil {
		return []metav1.OwnerReference{{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name, UID: o.UID}}, nil
	}
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID}}, nil
}
