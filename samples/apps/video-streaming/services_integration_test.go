//go:build integration

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/akri-go/akri/internal/devcluster/kubetest"
	"github.com/akri-go/akri/internal/eventually"
)

// On a real API server, and with the rights that the manifest gives: Services come,
// change and go, and what can no longer be read is said.
func TestWatch(t *testing.T) {
	server := kubetest.Start(t)
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	allow(t, client)
	var mu sync.Mutex
	told, problem := "nothing", error(nil)
	tell := func(list []source, err error) {
		mu.Lock()
		defer mu.Unlock()
		told, problem = "", err
		for _, s := range list {
			told += s.id + " "
		}
	}
	sees := func(want string, failing bool) {
		t.Helper()
		eventually.Succeeds(t, patience, func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if told != want || (problem != nil) != failing {
				return fmt.Errorf("told of %q, %v; want %q", told, problem, want)
			}
			return nil
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	cfg := server.ConfigFor("system:serviceaccount:default:akri-video-streaming-app", "system:serviceaccounts", "system:authenticated")
	go func() {
		done <- watch(ctx, cfg, settings{configuration: "c", namespace: "default"}, tell, slog.New(slog.DiscardHandler))
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	sees("", false)
	services := client.CoreV1().Services("default")
	create := func(name string) {
		t.Helper()
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "grpc", Port: 80}}}}
		if _, err := services.Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create("c-0ab12f-svc")
	sees("c-0ab12f ", false)
	create("c-svc")
	create("other-svc")
	sees("main c-0ab12f ", false)
	if err := services.Delete(t.Context(), "c-0ab12f-svc", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("main ", false)
	if err := client.RbacV1().RoleBindings("default").Delete(t.Context(), "akri-video-streaming-app", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	server.Stop() // and the watch
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	sees("main ", true)
}

// allow creates what the manifest has of rights.
func allow(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	data, err := os.ReadFile("video-streaming.yaml")
	if err != nil {
		t.Fatal(err)
	}
	role, binding := new(rbacv1.Role), new(rbacv1.RoleBinding)
	for r := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))); ; {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var meta metav1.TypeMeta
		if err == nil {
			err = yaml.Unmarshal(doc, &meta)
		}
		switch {
		case err != nil:
		case meta.Kind == "Role":
			err = yaml.UnmarshalStrict(doc, role)
		case meta.Kind == "RoleBinding":
			err = yaml.UnmarshalStrict(doc, binding)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err = client.RbacV1().Roles("default").Create(t.Context(), role, metav1.CreateOptions{}); err == nil {
		_, err = client.RbacV1().RoleBindings("default").Create(t.Context(), binding, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}
