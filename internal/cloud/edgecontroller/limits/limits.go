// Package limits asks whether the API server holds edge nodes to what is theirs.
//
// cloudcore makes the requests of an edge node in the node's name, and leaves it to
// the API server to refuse what is not the node's: the Node authorizer limits what
// nodes read, and the admission plug-in NodeRestriction what they write. Not every
// cluster has them. MicroK8s allows everything to everybody until its add-on rbac
// is enabled, and has no NodeRestriction even then.
package limits

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/akri-go/akri/internal/cloud/edgecontroller/grant"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// Limits are what the API server holds nodes to.
type Limits struct {
	// Reads is whether a node cannot read Secrets that no Pod of it mentions.
	Reads bool
	// Writes is whether a node cannot write other Nodes.
	Writes bool
}

// Missing says what is missing, and what to do; nil: nothing is.
func (l Limits) Missing() error {
	var all []error
	if !l.Reads {
		all = append(all, errors.New("whoever has an edge node can read all Secrets of the cluster: "+
			"kube-apiserver needs --authorization-mode=Node,RBAC (on MicroK8s: microk8s enable rbac)"))
	}
	if !l.Writes {
		all = append(all, errors.New("whoever has an edge node can change other Nodes, and delete their Pods: "+
			"kube-apiserver needs --enable-admission-plugins=NodeRestriction"))
	}
	return errors.Join(all...)
}

const (
	// probe is the name of the node that is asked about, and of what is not its
	// own. None of them is there.
	probe, another = "cloudcore-probe", "cloudcore-probe-2"
	namespace      = "kube-system"
	maxAnswerBytes = 64 << 10
)

// Ask asks the API server, as the user of the client, who must be allowed to make
// SubjectAccessReviews and to impersonate nodes. Nothing is changed.
func Ask(ctx context.Context, c *kube.Client) (Limits, error) {
	var l Limits
	secret := index.Selection{Resource: kube.Resource{Version: "v1", Resource: "secrets", Namespace: namespace}, Fields: "metadata.name=" + another}
	once := grant.New(grant.Options{Client: c, Again: []time.Duration{}})
	switch err := once.Allow(ctx, kube.Node(probe), secret, true); {
	case err == nil:
	case kube.Refused(err):
		l.Reads = true
	default:
		return l, err
	}
	node := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Node","metadata":{"name":%q}}`, another)
	err := c.Do(ctx, kube.Node(probe), kube.Request{
		Method: http.MethodPost, Path: "/api/v1/nodes", Query: "dryRun=All", ContentType: kube.JSON, Body: node,
	}, maxAnswerBytes, nil)
	switch {
	case err == nil:
	case apierrors.IsForbidden(err) && !kube.NotImpersonated(err):
		l.Writes = true
	default:
		return l, fmt.Errorf("try to make a Node in the name of another: %w", err)
	}
	return l, nil
}
