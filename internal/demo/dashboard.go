package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/workload"
)

const (
	dashboardName = "akri-dashboard"
	// tokenSecret has the dashboard's token. It is in the address that the demo
	// prints, behind a #, so that browsers send it to the dashboard alone.
	tokenSecret = "akri-demo-dashboard"
	tokenChars  = 16
)

// dashboardValues are the chart's values for a dashboard that can be reached at a
// port of the node.
func dashboardValues() []string {
	return []string{"dashboard.enabled=true", "dashboard.token.secretName=" + tokenSecret, "dashboard.service.type=NodePort"}
}

// makeToken makes the dashboard's token, or reads that of an earlier demo.
func (d *demo) makeToken(ctx context.Context) error {
	d.token = rand.Text()[:tokenChars]
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tokenSecret}, StringData: map[string]string{"token": d.token}}
	err := d.api.Create(ctx, secret)
	switch {
	case apierrors.IsAlreadyExists(err):
		if err := d.api.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return fmt.Errorf("read the dashboard's token: %w", err)
		}
		d.token = strings.TrimSpace(string(secret.Data["token"]))
		return nil
	case err != nil:
		return fmt.Errorf("make the dashboard's token: %w", err)
	}
	made := &unstructured.Unstructured{}
	made.SetAPIVersion("v1")
	made.SetKind("Secret")
	made.SetNamespace(namespace)
	made.SetName(tokenSecret)
	d.objects = append(d.objects, made)
	return nil
}

func (d *demo) waitDashboard(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var app appsv1.Deployment
		err := d.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: dashboardName}, &app)
		if err == nil && app.Status.ObservedGeneration >= app.Generation && app.Status.AvailableReplicas > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the dashboard: %w (logs: %s)", errors.Join(err, ctx.Err()), d.cluster.Logs())
		case <-tick.C:
		}
	}
}

// errNoDashboard is so in a cluster whose Akri is not the demo's.
var errNoDashboard = errors.New("this Akri has none for the demo; bin/akri dashboard serves one from here")

// dashboardURL is where a browser on this machine finds the dashboard.
func (d *demo) dashboardURL(ctx context.Context) (string, error) {
	if d.token == "" {
		return "", errNoDashboard
	}
	var service corev1.Service
	if err := d.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: dashboardName}, &service); err != nil {
		return "", err
	}
	if len(service.Spec.Ports) == 0 || service.Spec.Ports[0].NodePort == 0 {
		return "", fmt.Errorf("the Service %s has no node port", dashboardName)
	}
	return fmt.Sprintf("http://%s:%d", d.cluster.Network().Node(1), service.Spec.Ports[0].NodePort), nil
}

// askDashboard waits until the dashboard shows that each device has a broker that
// runs.
func (d *demo) askDashboard(ctx context.Context) error {
	url, err := d.dashboardURL(ctx)
	if errors.Is(err, errNoDashboard) {
		d.say("dashboard: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	return d.retry(ctx, "the dashboard shows a broker that runs", func() error {
		text, err := get(ctx, url+"/api/board", d.token)
		if err != nil {
			return err
		}
		if err := showsBroker(text, d.subject.Configuration); err != nil {
			return fmt.Errorf("%w: %.500s", err, text)
		}
		d.say("the dashboard shows the device and its broker")
		return nil
	})
}

// showsBroker returns an error unless a board has a device of a Configuration with a
// broker that is ready.
func showsBroker(board, configuration string) error {
	var entries map[string]struct {
		Configuration string
		Users         []struct {
			Broker bool
			Health string
		}
	}
	if err := json.Unmarshal([]byte(board), &entries); err != nil {
		return fmt.Errorf("read the board: %w", err)
	}
	for key, e := range entries {
		if !strings.HasPrefix(key, "device/") || e.Configuration != configuration {
			continue
		}
		for _, u := range e.Users {
			if u.Broker && u.Health == "ready" {
				return nil
			}
		}
	}
	return fmt.Errorf("no device of %s has a broker that is ready", configuration)
}

// askBroker waits until a broker says that it has opened its device. It asks through
// the API server, as kubectl proxy does.
func (d *demo) askBroker(ctx context.Context, instance string) error {
	cfg, err := d.cluster.RESTConfig()
	if err != nil {
		return err
	}
	transport, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	url := fmt.Sprintf("%s/api/v1/namespaces/%s/services/http:%s:80/proxy/api/devices", strings.TrimSuffix(cfg.Host, "/"), namespace,
		workload.ServiceName(instance))
	return d.retry(ctx, "the broker of "+instance+" has opened its device", func() error {
		text, err := fetch(ctx, transport, url, "")
		if err == nil && !strings.Contains(text, `"opened":true`) {
			err = fmt.Errorf("it says %.500s", text)
		}
		if err == nil {
			d.say("the broker of %s has opened its device", instance)
		}
		return err
	})
}

// retry tries until something succeeds.
func (d *demo) retry(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

func get(ctx context.Context, url, token string) (string, error) {
	return fetch(ctx, http.DefaultClient, url, token)
}

func fetch(ctx context.Context, c *http.Client, url, token string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, data)
	}
	return string(data), err
}
