package devcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/kube"
	helmrelease "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	"helm.sh/helm/v4/pkg/storage/driver"
	"helm.sh/helm/v4/pkg/strvals"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/dynamic"
)

// InstallOptions says which chart InstallChart installs.
type InstallOptions struct {
	ChartDir  string
	Release   string
	Namespace string         // made when it is not there
	Values    map[string]any // as in a values file
	Wait      time.Duration  // how long to wait for the objects to be ready; 0: not at all
}

// ParseValues turns key=value settings, as `helm --set` takes them, into values.
func ParseValues(settings []string) (map[string]any, error) {
	values := map[string]any{}
	for _, s := range settings {
		if err := strvals.ParseInto(s, values); err != nil {
			return nil, fmt.Errorf("value %q: %w", s, err)
		}
	}
	return values, nil
}

// InstallChart installs the chart, or upgrades the release of that name to it.
// Unlike helm it also updates the chart's CRDs. A release that an interrupted
// run left unfinished is removed first.
func (c *Cluster) InstallChart(ctx context.Context, o InstallOptions) error {
	chart, err := loader.Load(o.ChartDir)
	if err != nil {
		return fmt.Errorf("load chart %s: %w", o.ChartDir, err)
	}
	if o.Values == nil {
		o.Values = map[string]any{}
	}
	cfg, err := c.helm(o.Namespace)
	if err != nil {
		return err
	}
	status, err := lastStatus(cfg, o.Release)
	if err != nil {
		return fmt.Errorf("look for release %s: %w", o.Release, err)
	}
	if status.IsPending() {
		if err := c.Uninstall(ctx, o.Release, o.Namespace); err != nil {
			return err
		}
		status = ""
	}
	strategy, timeout := kube.StatusWatcherStrategy, o.Wait
	if o.Wait <= 0 {
		strategy, timeout = kube.HookOnlyStrategy, 5*time.Minute
	}
	if status == "" || status == common.StatusUninstalled {
		install := action.NewInstall(cfg)
		install.ReleaseName, install.Namespace, install.CreateNamespace = o.Release, o.Namespace, true
		install.WaitStrategy, install.Timeout = strategy, timeout
		install.Replace = status != ""
		_, err = install.RunWithContext(ctx, chart, o.Values)
	} else {
		if err := c.updateCRDs(ctx, filepath.Join(o.ChartDir, "crds")); err != nil {
			return err
		}
		upgrade := action.NewUpgrade(cfg)
		upgrade.Namespace, upgrade.WaitStrategy, upgrade.Timeout = o.Namespace, strategy, timeout
		upgrade.MaxHistory, upgrade.ResetValues, upgrade.ForceConflicts = 3, true, true
		_, err = upgrade.RunWithContext(ctx, o.Release, chart, o.Values)
	}
	if err != nil {
		return fmt.Errorf("install chart %s as %s/%s: %w", o.ChartDir, o.Namespace, o.Release, err)
	}
	return nil
}

// Uninstall removes a release and waits until its objects are gone. CRDs stay.
func (c *Cluster) Uninstall(ctx context.Context, name, namespace string) error {
	return c.uninstall(ctx, name, namespace, "foreground", kube.StatusWatcherStrategy)
}

// UninstallNow removes a release as `helm uninstall` does unless it is told to
// wait: it only has the objects deleted.
func (c *Cluster) UninstallNow(ctx context.Context, name, namespace string) error {
	return c.uninstall(ctx, name, namespace, "background", kube.HookOnlyStrategy)
}

func (c *Cluster) uninstall(ctx context.Context, name, namespace, propagation string, strategy kube.WaitStrategy) error {
	cfg, err := c.helm(namespace)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(cfg)
	uninstall.IgnoreNotFound, uninstall.DeletionPropagation = true, propagation
	uninstall.WaitStrategy, uninstall.Timeout = strategy, 2*time.Minute
	if deadline, ok := ctx.Deadline(); ok {
		uninstall.Timeout = min(uninstall.Timeout, time.Until(deadline))
	}
	if _, err := uninstall.Run(name); err != nil {
		return fmt.Errorf("uninstall %s/%s: %w", namespace, name, err)
	}
	return nil
}

func (c *Cluster) helm(namespace string) (*action.Configuration, error) {
	flags := genericclioptions.NewConfigFlags(true)
	kubeconfig := c.Kubeconfig()
	flags.KubeConfig, flags.Namespace = &kubeconfig, &namespace
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := cfg.Init(flags, namespace, "secret"); err != nil {
		return nil, fmt.Errorf("prepare helm: %w", err)
	}
	return cfg, nil
}

// lastStatus returns the status of the newest revision of a release, "" when
// there is none.
func lastStatus(cfg *action.Configuration, name string) (common.Status, error) {
	revisions, err := action.NewHistory(cfg).Run(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var status common.Status
	newest := 0
	for _, r := range revisions {
		acc, err := helmrelease.NewAccessor(r)
		if err != nil {
			return "", err
		}
		if acc.Version() > newest {
			newest, status = acc.Version(), common.Status(acc.Status())
		}
	}
	return status, nil
}

func (c *Cluster) updateCRDs(ctx context.Context, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		return err
	}
	cfg, err := c.RESTConfig()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return err
	}
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		objects, err := parseObjects(data)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, obj := range objects {
			opts := metav1.ApplyOptions{FieldManager: clusterName, Force: true}
			if _, err := crds.Apply(ctx, obj.GetName(), obj, opts); err != nil {
				return fmt.Errorf("update CRD %s: %w", obj.GetName(), err)
			}
		}
	}
	return nil
}
