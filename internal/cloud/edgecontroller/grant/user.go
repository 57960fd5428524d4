package grant

import (
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
)

// KubeProxy is the component that an edge node runs beside its kubelet.
const KubeProxy = "kube-proxy"

// Pod is a Pod that is bound to a node and has not ended.
type Pod struct {
	Namespace, Name, UID string
	Account              string // the name of its service account
}

// UserOf decides who an edge node asks as. Pods are those of the node. Errors
// are of k8s.io/apimachinery/pkg/api/errors and say why it may not.
func UserOf(node string, as edgev1.As, pods []Pod) (kube.User, error) {
	if as == (edgev1.As{}) {
		return kube.Node(node), nil
	}
	if as.Component != "" {
		if as != (edgev1.As{Component: KubeProxy}) {
			return kube.User{}, forbidden("edge node %s may not ask as component %q: only %s is one", node,
				short(as.Component), KubeProxy)
		}
		return kube.Component(KubeProxy), nil
	}
	namespace, name, ok := strings.Cut(as.ServiceAccount, "/")
	if !ok || !isName(namespace) || !isName(name) {
		return kube.User{}, forbidden("edge node %s: %q is not <namespace>/<name> of a service account", node,
			short(as.ServiceAccount))
	}
	if (as.Pod == "") != (as.PodUID == "") {
		return kube.User{}, forbidden("edge node %s: a Pod that is asked for needs name and UID", node)
	}
	for _, p := range pods {
		if p.Namespace != namespace || p.Account != name {
			continue
		}
		if as.Pod != "" && (p.Name != as.Pod || p.UID != as.PodUID) {
			continue
		}
		extra := map[string]string{kube.ExtraNode: node}
		if as.Pod != "" {
			extra[kube.ExtraPod], extra[kube.ExtraPodUID] = as.Pod, as.PodUID
		}
		return kube.ServiceAccount(namespace, name, extra), nil
	}
	if as.Pod != "" {
		return kube.User{}, forbidden(
			"edge node %s may not ask as service account %s: its Pod %q (UID %q) is not bound to this node, or has ended",
			node, as.ServiceAccount, short(as.Pod), short(as.PodUID))
	}
	return kube.User{}, forbidden("edge node %s may not ask as service account %s: no Pod of it is bound to this node",
		node, as.ServiceAccount)
}

// forbidden is a refusal for people to read.
func forbidden(format string, args ...any) error {
	return refusal(http.StatusForbidden, metav1.StatusReasonForbidden, format, args...)
}

func invalid(format string, args ...any) error {
	return refusal(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, format, args...)
}

func refusal(code int32, reason metav1.StatusReason, format string, args ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: fmt.Sprintf(format, args...),
	}}
}

// maxTextBytes is how much of a text from outside an error has.
const maxTextBytes = 100

func short(s string) string {
	if len(s) > maxTextBytes {
		return s[:maxTextBytes] + "..."
	}
	return s
}
