//go:build integration

package trust_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/devcluster/kubetest"
)

// In a real cluster: two replicas begin at once with an empty Secret and have
// one authority; a token is used once; what others keep in the Secret stays.
func TestSecret(t *testing.T) {
	server := kubetest.Start(t, kubetest.WithCRDs(""))
	clients, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	keeper := func() *trust.Keeper {
		c, err := trust.NewCluster(server.Config, "default", "")
		if err != nil {
			t.Fatal(err)
		}
		return trust.New(c, c, slog.New(slog.DiscardHandler))
	}
	a, b := keeper(), keeper()
	if err := a.Refresh(ctx); err == nil || !strings.Contains(err.Error(), "the Secret default/cloudcore does not exist") {
		t.Errorf("without a Secret: %v", err)
	}
	secrets := clients.CoreV1().Secrets("default")
	if _, err := secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: trust.SecretName, Labels: map[string]string{"app": "cloudcore"}}, Type: corev1.SecretTypeOpaque,
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, k := range []*trust.Keeper{a, b} {
		wg.Go(func() {
			if err := k.Refresh(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ofA, errA := a.Bundle()
	ofB, errB := b.Bundle()
	if err := errors.Join(errA, errB); err != nil || string(ofA) != string(ofB) {
		t.Fatalf("two authorities: %v", err)
	}

	for name, edge := range map[string]bool{"cp": false, "edge-9": true} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
		if edge {
			n.Labels["node-role.kubernetes.io/edge"] = ""
		}
		if _, err := clients.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	open, _ := token(t, a, "", 0)
	nine, of := token(t, b, "edge-9", 0)
	cert, err := b.Join(ctx, node(t, "cp"), open)
	refused(t, "a node of the cluster", cert, err, "node of the cluster itself")
	cert, err = b.Join(ctx, node(t, "edge-9"), open)
	refused(t, "a node that there is", cert, err, "already")
	mustJoin(t, a, "edge-9", nine)

	stranger, err := trust.NewCluster(server.ConfigFor("nobody"), "default", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := stranger.Read(ctx); err == nil || !strings.Contains(err.Error(), `User "nobody" cannot get resource "secrets"`) {
		t.Errorf("reading without the right: %v", err)
	}
	if err := stranger.Write(ctx, nil, "1"); err == nil || !strings.Contains(err.Error(), `User "nobody" cannot patch resource "secrets"`) {
		t.Errorf("writing without the right: %v", err)
	}

	var mu sync.Mutex
	in := 0
	for i := range 4 {
		request := node(t, fmt.Sprintf("edge-%d", i))
		wg.Go(func() {
			if _, err := []*trust.Keeper{a, b}[i%2].Join(context.Background(), request, open); err == nil {
				mu.Lock()
				defer mu.Unlock()
				in++
			}
		})
	}
	wg.Wait()
	if in != 1 {
		t.Errorf("one token let in %d nodes", in)
	}
	if all, err := b.Tokens(ctx); err != nil || len(all) != 2 || all[1].ID != of.ID && all[0].ID != of.ID {
		t.Errorf("%+v, %v", all, err)
	}
	got, err := secrets.Get(ctx, trust.SecretName, metav1.GetOptions{})
	if err != nil || got.Labels["app"] != "cloudcore" {
		t.Fatalf("%v, %v", got.Labels, err)
	}
	var listed []trust.Token
	if err := json.Unmarshal(got.Data["tokens.json"], &listed); err != nil || len(listed) != 2 || strings.Contains(string(got.Data["tokens.json"]), nine[70:]) {
		t.Errorf("%s, %v", got.Data["tokens.json"], err)
	}
	if before := got.ResourceVersion; a.Refresh(ctx) == nil {
		if got, err := secrets.Get(ctx, trust.SecretName, metav1.GetOptions{}); err != nil || got.ResourceVersion != before {
			t.Errorf("nothing has changed, and it is written: %v", err)
		}
	}
}
