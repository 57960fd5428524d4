package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
)

// isTokenRequest reports whether the kubelet asks for a token of a Pod. It does so
// in JSON.
func (s *Server) isTokenRequest(r *http.Request, t target, user User) bool {
	return s.Signer != nil && user.isNode() && isJSON(r) && r.Method == http.MethodPost && t.resource == (store.Resource{Version: "v1",
		Name: "serviceaccounts"}) && t.namespace != "" && t.subresource == "token"
}

// isJSON reports whether a request's body says that it is JSON, or nothing.
func isJSON(r *http.Request) bool {
	kind := mediaType(r.Header.Get("Content-Type"))
	return kind == "" || kind == "application/json"
}

// serveTokenRequest has the cluster make a token. Where the API server cannot be
// asked, edgecore makes one, since no Pod starts without.
func (s *Server) serveTokenRequest(w http.ResponseWriter, r *http.Request, t target, user User) {
	body, err := readBody(w, r)
	var asked authenticationv1.TokenRequest
	if err == nil && json.Unmarshal(body, &asked) != nil {
		err = apierrors.NewBadRequest("want a TokenRequest as JSON")
	}
	if err != nil {
		fail(w, err)
		return
	}
	if s.Cloud.Linked() {
		reply, err := s.call(r.Context(), callOf(r, user, body))
		if err == nil && !unreachable(reply.Status) {
			if reply.Status == http.StatusCreated {
				s.learn(r.Context(), t, asked, reply.Body)
			}
			passOn(w, reply)
			return
		}
	}
	minted, err := s.mint(t, asked)
	if err != nil {
		fail(w, err)
		return
	}
	s.Log.Debug("a token is made here", "serviceaccount", t.namespace+"/"+t.name, "pod", asked.Spec.BoundObjectRef.Name)
	writeJSON(w, http.StatusCreated, minted)
}

// unreachable reports whether cloudcore has answered in place of the API server.
func unreachable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// learn keeps what a token of the cluster tells: for whom tokens are that are for
// the API server, and with which key they are signed. So the key is here before
// the Pod that uses it.
func (s *Server) learn(ctx context.Context, t target, asked authenticationv1.TokenRequest, answer []byte) {
	var made authenticationv1.TokenRequest
	if json.Unmarshal(answer, &made) != nil {
		return
	}
	if len(asked.Spec.Audiences) == 0 && len(made.Spec.Audiences) > 0 {
		s.setAudiences(ctx, made.Spec.Audiences)
	}
	if token, err := tokens.Parse(made.Status.Token); err == nil {
		// The cluster itself has named the key, so no Pod can be the cause.
		s.clusterKeys(ctx, token.KeyID, t.namespace+"/"+t.name, "key "+token.KeyID)
	}
}

// mint makes a token of edgecore's own, for a Pod of this node alone.
func (s *Server) mint(t target, asked authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	ref := asked.Spec.BoundObjectRef
	if ref == nil || ref.Kind != "Pod" || ref.APIVersion != "v1" || ref.Name == "" || ref.UID == "" {
		return nil, unavailable("the link to cloudcore is cut: only tokens that are bound to a Pod and its UID can be had now")
	}
	pod, err := s.podOf(t.namespace, ref.Name, string(ref.UID))
	if err == nil && pod.Spec.ServiceAccountName != t.name {
		err = fmt.Errorf("its Pod %s/%s has service account %q", t.namespace, ref.Name, pod.Spec.ServiceAccountName)
	}
	if err != nil {
		return nil, apierrors.NewForbidden(t.groupResource(), t.name, err)
	}
	made := asked
	made.TypeMeta = metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenRequest"}
	if len(made.Spec.Audiences) == 0 {
		made.Spec.Audiences = s.audiences()
	}
	now, life := time.Now(), int64(tokens.Life/time.Second)
	claims := tokens.Claims{
		Issuer: tokens.Issuer, Audiences: made.Spec.Audiences, Subject: tokens.Subject(t.namespace, t.name),
		ID: rand.Text(), IssuedAt: now.Unix(), NotBefore: now.Unix(), Expiry: now.Unix() + life,
		Kubernetes: tokens.Kubernetes{
			Namespace:      t.namespace,
			Node:           &tokens.Ref{Name: s.Node, UID: s.nodeUID()},
			Pod:            &tokens.Ref{Name: ref.Name, UID: string(ref.UID)},
			ServiceAccount: tokens.Ref{Name: t.name, UID: string(asked.UID)},
		},
	}
	token, err := s.Signer.Sign(claims)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	made.Name, made.Namespace, made.CreationTimestamp = t.name, t.namespace, metav1.NewTime(now)
	made.Spec.ExpirationSeconds = &life // the kubelet computes with it when to renew
	made.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.Unix(claims.Expiry, 0)}
	return &made, nil
}

// nodeUID is the UID of this node's Node, "" if that is not known.
func (s *Server) nodeUID() string {
	if o, _, _ := s.Store.Known(store.Key{Resource: store.Nodes, Name: s.Node}, edgev1.As{}); o != nil {
		return o.UID
	}
	return ""
}
