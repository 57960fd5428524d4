// Command app is the program of a Pod in the tests of edge nodes: a client of the
// Kubernetes API as client-go makes it in a Pod, which knows nothing of edge
// nodes. It follows a ConfigMap of its namespace, writes what it has seen into
// another one, and says on its output what it sees and reads.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// The two ConfigMaps, and the key in both.
const (
	followed = "followed"
	seen     = "seen"
	key      = "message"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	namespace := os.Getenv("NAMESPACE")
	lw := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", namespace,
		fields.OneTermEqualSelector("metadata.name", followed))
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, client), &corev1.ConfigMap{}, 0, nil)
	go informer.RunWithContext(ctx)
	maps := client.CoreV1().ConfigMaps(namespace)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for wrote := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if m, err := maps.Get(ctx, followed, metav1.GetOptions{}); err == nil {
			fmt.Printf("read %q\n", m.Data[key])
		} else {
			fmt.Println("cannot read:", err)
		}
		for _, o := range informer.GetStore().List() {
			m, ok := o.(*corev1.ConfigMap)
			if !ok || m.Data[key] == wrote {
				continue
			}
			fmt.Printf("saw %q\n", m.Data[key])
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			if err := write(ctx, maps, m.Data[key]); err == nil {
				wrote = m.Data[key]
			} else {
				fmt.Println("cannot write:", err)
			}
			cancel()
		}
	}
}

// write writes what was seen, with an update over what is there.
func write(ctx context.Context, maps typedcorev1.ConfigMapInterface, message string) error {
	m, err := maps.Get(ctx, seen, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: seen}, Data: map[string]string{key: message}},
			metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	m.Data = map[string]string{key: message}
	_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
	return err
}
