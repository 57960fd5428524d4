package devcluster

import (
	"context"

	"github.com/akri-go/akri/internal/helm"
)

func (c *Cluster) charts() helm.Cluster { return helm.Cluster{Kubeconfig: c.Kubeconfig()} }

// InstallChart installs a chart, or upgrades the release of that name.
func (c *Cluster) InstallChart(ctx context.Context, o helm.InstallOptions) error {
	return c.charts().Install(ctx, o)
}

// Installed reports whether a release exists, complete or not.
func (c *Cluster) Installed(release, namespace string) (bool, error) {
	return c.charts().Installed(release, namespace)
}

// Uninstall removes a release, if it exists.
func (c *Cluster) Uninstall(ctx context.Context, o helm.UninstallOptions) error {
	return c.charts().Uninstall(ctx, o)
}
