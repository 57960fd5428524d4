package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
)

// podsResource is that of Pods.
var podsResource = store.Resource{Version: "v1", Name: "pods"}

var errNoSigner = errors.New("tokens are not taken here")

// authenticate returns who asks: a program of the node, by its certificate, or a
// Pod, by its token. The error is for the log; a client hears only that it is not
// known.
func (s *Server) authenticate(r *http.Request) (User, error) {
	if r.TLS != nil {
		if user, ok := s.Authenticate(*r.TLS); ok {
			return user, nil
		}
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") || s.Signer == nil {
		return User{}, errors.New("it has neither a certificate of this edgecore nor a token")
	}
	c, err := s.verify(r.Context(), strings.TrimSpace(token), nil)
	if err != nil {
		return User{}, fmt.Errorf("its token: %w", err)
	}
	return podUser(c), nil
}

// verify checks a token of a Pod of this node. It must be for one of the
// audiences; none are those of the API server.
//
// The Pod is looked for first: what names no Pod of this node can cause no more
// work.
func (s *Server) verify(ctx context.Context, text string, audiences []string) (tokens.Claims, error) {
	t, err := tokens.Parse(text)
	if err != nil {
		return tokens.Claims{}, err
	}
	k := t.Claims.Kubernetes
	if k.Pod == nil {
		return tokens.Claims{}, errors.New("it is not bound to a Pod")
	}
	pod, err := s.podOf(k.Namespace, k.Pod.Name, k.Pod.UID)
	if err != nil {
		return tokens.Claims{}, err
	}
	if pod.Spec.ServiceAccountName != k.ServiceAccount.Name {
		return tokens.Claims{}, fmt.Errorf("its Pod %s/%s has another service account", k.Namespace, k.Pod.Name)
	}
	keys, rules := s.Signer.Keys(), tokens.Rules{Issuer: tokens.Issuer}
	if keys[t.KeyID] == nil {
		account := k.Namespace + "/" + k.ServiceAccount.Name
		keys, rules.Issuer = s.clusterKeys(ctx, t.KeyID, account, account)
	}
	rules.Audiences, rules.Node = audiences, s.Node
	if len(audiences) == 0 {
		rules.Audiences = s.audiences()
	}
	if err := t.Verify(keys); err != nil {
		return tokens.Claims{}, err
	}
	if err := t.Claims.Check(rules, time.Now()); err != nil {
		return tokens.Claims{}, err
	}
	return t.Claims, nil
}

// pod is what is read of a Pod.
type pod struct {
	Spec struct {
		NodeName           string `json:"nodeName"`
		ServiceAccountName string `json:"serviceAccountName"`
	} `json:"spec"`
	Status struct {
		Phase corev1.PodPhase `json:"phase"`
	} `json:"status"`
}

func (p pod) ended() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// podOf returns a Pod that is bound to this node, and has not ended, as the
// kubelet sees it. What only Pods have read of other Pods may be old.
func (s *Server) podOf(namespace, name, uid string) (pod, error) {
	o, live, _ := s.Store.Known(store.Key{Resource: podsResource, Namespace: namespace, Name: name}, edgev1.As{})
	if o == nil || !live || o.UID != uid {
		return pod{}, fmt.Errorf("its Pod %s/%s with UID %q is not on this node", namespace, name, uid)
	}
	var p pod
	if err := json.Unmarshal(o.JSON, &p); err != nil {
		return pod{}, fmt.Errorf("its Pod %s/%s: %w", namespace, name, err)
	}
	if p.Spec.NodeName != s.Node || p.ended() {
		return pod{}, fmt.Errorf("its Pod %s/%s is not bound to this node, or has ended", namespace, name)
	}
	return p, nil
}

// impersonates reports whether a request is to be made in the name of somebody
// else than who asks. It would be made in one's own name here.
func impersonates(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Impersonate-") {
			return true
		}
	}
	return false
}

// accounts are the service accounts of this node's Pods.
func (s *Server) accounts() []string {
	objects, err := s.Store.Peek(edgev1.Interest{Version: "v1", Resource: "pods", FieldSelector: "spec.nodeName=" + s.Node})
	if err != nil {
		return nil // the kubelet has not asked yet
	}
	var all []string
	for _, o := range objects {
		var p pod
		if json.Unmarshal(o.JSON, &p) != nil || p.ended() || p.Spec.ServiceAccountName == "" {
			continue
		}
		if account := o.Namespace + "/" + p.Spec.ServiceAccountName; !slices.Contains(all, account) {
			all = append(all, account)
		}
	}
	return all
}
