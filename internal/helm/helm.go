package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chartcommon "helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	v2loader "helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/kube"
	helmrelease "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	"helm.sh/helm/v4/pkg/storage/driver"
	"helm.sh/helm/v4/pkg/strvals"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// Cluster is where charts are installed.
type Cluster struct {
	// Kubeconfig is a file; "" means that kubectl's is used.
	Kubeconfig string
}

// defaultTimeout is how long an install or uninstall may take, as helm's own.
const defaultTimeout = 5 * time.Minute

// InstallOptions configure [Cluster.Install].
type InstallOptions struct {
	// ChartDir is the chart's folder, unless there is Chart, its files.
	ChartDir  string
	Chart     fs.FS
	Release   string
	Namespace string         // created if it does not exist
	Values    map[string]any // as in a values file
	SkipCRDs  bool           // as helm's --skip-crds
	// KeepValues merges Values over those of the existing release, as helm's
	// --reset-then-reuse-values.
	KeepValues bool
	Wait       time.Duration // how long to wait for the objects to be ready; 0: not at all
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

// CheckChart finds faults in a chart, its values or the release's name without
// a cluster: everything that Install would refuse at once.
func CheckChart(ctx context.Context, o InstallOptions) error {
	chart, err := o.load()
	if err != nil {
		return err
	}
	if err := chartutil.ValidateReleaseName(o.Release); err != nil {
		return fmt.Errorf("release %q: %w", o.Release, err)
	}
	if wrong := validation.IsDNS1123Label(o.Namespace); len(wrong) > 0 {
		return fmt.Errorf("namespace %q: %s", o.Namespace, wrong[0])
	}
	release := chartcommon.ReleaseOptions{Name: o.Release, Namespace: o.Namespace, Revision: 1, IsInstall: true}
	values, err := commonutil.ToRenderValues(chart, o.Values, release, nil)
	if err == nil {
		_, err = engine.Engine{}.RenderWithContext(ctx, chart, values)
	}
	if err != nil {
		return fmt.Errorf("chart %s: %w", o.name(chart), err)
	}
	return nil
}

// load reads the chart.
func (o InstallOptions) load() (*chart.Chart, error) {
	if o.Chart != nil {
		return loadFiles(o.Chart)
	}
	dir := o.ChartDir
	any, err := loader.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load chart %s: %w", dir, err)
	}
	c, ok := any.(*chart.Chart)
	if !ok {
		return nil, fmt.Errorf("load chart %s: charts of this kind (%T) are not supported", dir, any)
	}
	return c, nil
}

// loadFiles reads a chart whose Chart.yaml is at the root of files.
func loadFiles(files fs.FS) (*chart.Chart, error) {
	var all []*archive.BufferedFile
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		all = append(all, &archive.BufferedFile{Name: path, Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return v2loader.LoadFiles(all)
}

// name is what errors call the chart.
func (o InstallOptions) name(c *chart.Chart) string {
	if o.ChartDir != "" {
		return o.ChartDir
	}
	return c.Name()
}

// Install installs the chart, or upgrades the release of that name,
// exactly as helm does and as helm's field manager, so that helm can upgrade
// it: it runs hooks, and applies CRDs only at an install. A release that an
// interrupted run left unfinished is removed first.
func (c Cluster) Install(ctx context.Context, o InstallOptions) error {
	chart, err := o.load()
	if err != nil {
		return err
	}
	if o.Values == nil {
		o.Values = map[string]any{}
	}
	cfg, output, err := c.actions(o.Namespace)
	if err != nil {
		return err
	}
	status, err := lastStatus(cfg, o.Release)
	if err != nil {
		return fmt.Errorf("look for release %s: %w", o.Release, err)
	}
	if status.IsPending() || status == common.StatusUninstalling {
		if err := c.Uninstall(ctx, UninstallOptions{Release: o.Release, Namespace: o.Namespace, NoHooks: true}); err != nil {
			return err
		}
		status = ""
	}
	strategy, timeout := kube.StatusWatcherStrategy, o.Wait
	if o.Wait <= 0 {
		strategy, timeout = kube.HookOnlyStrategy, defaultTimeout
	}
	if status == "" || status == common.StatusUninstalled {
		install := action.NewInstall(cfg)
		install.ReleaseName, install.Namespace, install.CreateNamespace = o.Release, o.Namespace, true
		install.WaitStrategy, install.Timeout = strategy, timeout
		install.Replace, install.SkipCRDs = status != "", o.SkipCRDs
		_, err = install.RunWithContext(ctx, chart, o.Values)
	} else {
		if err := giveToHelm(ctx, cfg, o.Release); err != nil {
			return err
		}
		upgrade := action.NewUpgrade(cfg)
		upgrade.Namespace, upgrade.WaitStrategy, upgrade.Timeout = o.Namespace, strategy, timeout
		upgrade.MaxHistory, upgrade.ForceConflicts = 3, true
		upgrade.ResetValues, upgrade.ResetThenReuseValues = !o.KeepValues, o.KeepValues
		_, err = upgrade.RunWithContext(ctx, o.Release, chart, o.Values)
	}
	if err != nil {
		return fmt.Errorf("install chart %s as %s/%s: %w%s", o.name(chart), o.Namespace, o.Release, err, output)
	}
	return nil
}

// Installed reports whether a release exists, complete or not.
func (c Cluster) Installed(release, namespace string) (bool, error) {
	cfg, _, err := c.actions(namespace)
	if err != nil {
		return false, err
	}
	status, err := lastStatus(cfg, release)
	if err != nil {
		return false, fmt.Errorf("look for release %s: %w", release, err)
	}
	return status != "" && status != common.StatusUninstalled, nil
}

// UninstallOptions configure [Cluster.Uninstall].
type UninstallOptions struct {
	Release   string
	Namespace string
	NoHooks   bool // as helm's --no-hooks
	// NoWait means not to wait until the objects are gone, which is helm's
	// default.
	NoWait bool
}

// Uninstall removes a release, if it exists, with its hooks, and waits until
// its objects are gone unless NoWait is set. CRDs stay.
func (c Cluster) Uninstall(ctx context.Context, o UninstallOptions) error {
	cfg, output, err := c.actions(o.Namespace)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(cfg)
	uninstall.IgnoreNotFound, uninstall.DeletionPropagation = true, "foreground"
	uninstall.DisableHooks = o.NoHooks
	uninstall.WaitStrategy, uninstall.Timeout = kube.StatusWatcherStrategy, defaultTimeout
	if o.NoWait {
		uninstall.DeletionPropagation, uninstall.WaitStrategy = "background", kube.HookOnlyStrategy
	}
	if deadline, ok := ctx.Deadline(); ok {
		uninstall.Timeout = time.Until(deadline)
	}
	if _, err := uninstall.Run(o.Release); err != nil {
		return fmt.Errorf("uninstall %s/%s: %w%s", o.Namespace, o.Release, err, output)
	}
	return nil
}

// actions returns the configuration of Helm's actions, and the buffer for the logs
// of hooks.
func (c Cluster) actions(namespace string) (*action.Configuration, *hookOutput, error) {
	asHelm()
	flags := genericclioptions.NewConfigFlags(true)
	flags.Namespace = &namespace
	if c.Kubeconfig != "" {
		flags.KubeConfig = &c.Kubeconfig
	}
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := cfg.Init(flags, namespace, "secret"); err != nil {
		return nil, nil, fmt.Errorf("prepare helm: %w", err)
	}
	output := &hookOutput{}
	cfg.SetHookOutputFunc(func(_, pod, _ string) io.Writer {
		fmt.Fprintf(&output.Buffer, "--- %s\n", pod)
		return output
	})
	return cfg, output, nil
}

// hookOutput is what hooks printed.
type hookOutput struct{ bytes.Buffer }

// String is empty or starts with a new line, so that it can follow an error.
func (h *hookOutput) String() string {
	if h.Len() == 0 {
		return ""
	}
	return "\n" + strings.TrimSpace(h.Buffer.String())
}

// lastStatus returns the status of a release's newest revision, or "".
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
