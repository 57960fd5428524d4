package edgecontroller

import (
	"encoding/json"
	"unique"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/autonomy"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/index"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// What cloudcore watches in its own name: who is bound where, which nodes are
// edge nodes, and what Namespaces say of autonomy. PodCertificateRequests only
// because each node selects its own, and one watch serves all.
var (
	podsResource       = kube.Resource{Version: "v1", Resource: "pods"}
	nodesResource      = kube.Resource{Version: "v1", Resource: "nodes"}
	namespacesResource = kube.Resource{Version: "v1", Resource: "namespaces"}
	boundPods          = index.Selection{Resource: podsResource, Fields: "spec.nodeName!="}
)

func own() []index.Own {
	return []index.Own{
		{Resource: podsResource, Fields: boundPods.Fields, By: "spec.nodeName", Keep: keepPod},
		{Resource: nodesResource, By: "metadata.name", Keep: keepNode},
		{Resource: namespacesResource, By: "metadata.name", Keep: keepNamespace},
		{Resource: podCertificateRequests("v1"), By: "spec.nodeName", OnDemand: true},
		{Resource: podCertificateRequests("v1beta1"), By: "spec.nodeName", OnDemand: true},
	}
}

func podCertificateRequests(version string) kube.Resource {
	return kube.Resource{Group: "certificates.k8s.io", Version: version, Resource: "podcertificaterequests"}
}

// podNote is what is kept of a Pod.
type podNote struct {
	node, account string // account is empty once the Pod has ended
	lift          bool   // it would be evicted from a node that is not heard of
	autonomy      map[string]string
}

func keepPod(object []byte) any {
	var p autonomy.Pod
	if json.Unmarshal(object, &p) != nil {
		return nil // such as a toleration that is newer than this program
	}
	n := podNote{node: same(p.Spec.NodeName)}
	if !p.Ended() {
		n.account = same(p.Spec.ServiceAccountName)
	}
	_, n.lift, _ = autonomy.Lift(&p) // one that cannot be read stays as it is
	n.autonomy = said(p.Metadata.Annotations)
	return n
}

// nodeNote is what is kept of a Node.
type nodeNote struct {
	uid      string
	labels   map[string]string // those of labelsOf that it has
	autonomy map[string]string
	site     string
}

func keepNode(object []byte) any {
	var m struct {
		Metadata struct {
			UID         string            `json:"uid"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if json.Unmarshal(object, &m) != nil {
		return nil
	}
	n := nodeNote{uid: m.Metadata.UID, autonomy: said(m.Metadata.Annotations), site: same(m.Metadata.Labels[edgev1.SiteLabel])}
	for k := range edgeLabels() {
		if v, has := m.Metadata.Labels[k]; has {
			if n.labels == nil {
				n.labels = map[string]string{}
			}
			n.labels[k] = v
		}
	}
	return n
}

func keepNamespace(object []byte) any {
	var m kube.Meta
	if json.Unmarshal(object, &m) != nil {
		return nil
	}
	return said(m.Metadata.Annotations)
}

// said keeps of annotations what they say of autonomy; mostly nothing.
func said(annotations map[string]string) map[string]string {
	if v, there := annotations[autonomy.Annotation]; there {
		return map[string]string{autonomy.Annotation: v}
	}
	return nil
}

// same returns the one copy of a text that many objects have.
func same(s string) string { return unique.Make(s).Value() }
