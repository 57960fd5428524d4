package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/helm"
)

func newUpCommand(dir *string) *cobra.Command {
	var (
		nodes     int
		edgeNodes int
		version   string
		images    string
		chart     string
		set       []string
		namespace string
		release   string
		noInstall bool
		wait      time.Duration
		grace     time.Duration
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the cluster, or start it again",
		Long: `Makes the cluster, or starts the parts of it that do not run, and returns when
its nodes are ready and its DNS answers. The first run builds the programs, which
takes minutes; later runs take seconds. If it is interrupted, run it again, or
undo it with akri dev down.

With --kubernetes it makes a cluster of another version of Kubernetes. Choose
` + strings.Join(devcluster.KubernetesVersions(), ", ") + `; the first is the default.
Each is built once. A cluster keeps the version that it was made with.

With --edge-nodes it also makes edge nodes: it installs cloudcore, and joins a machine
for each with keadm (docs/edge). akri dev cut, rejoin, poweroff, poweron and link
are what happens to them.

With --images it loads the image archives of a folder into the nodes, with
--chart it installs or upgrades a Helm chart:

  akri dev up --images out/images --chart charts/akri --set udev.discovery.enabled=true`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Checked now, because they would be noticed only after minutes.
			install := helm.InstallOptions{ChartDir: chart, Release: release, Namespace: namespace, Wait: wait}
			if err := checkUp(cmd, nodes, edgeNodes, version, grace, images, set, &install); err != nil {
				return err
			}
			ctx, out := cmd.Context(), cmd.ErrOrStderr()
			began := time.Now()
			c, err := devcluster.Up(ctx, devcluster.Options{Dir: *dir, Nodes: nodes, EdgeNodes: edgeNodes, Kubernetes: version, NodeGrace: grace, Progress: out, Install: !noInstall})
			if err != nil {
				return err
			}
			if c.EdgeNodeCount() > 0 {
				if err := c.JoinEdgeNodes(ctx, devcluster.JoinOptions{Progress: out}); err != nil {
					return err
				}
			}
			if images != "" {
				loaded, err := c.LoadImageDir(ctx, images)
				if err != nil {
					return err
				}
				fmt.Fprintf(out, "%7.1fs  loaded %s\n", time.Since(began).Seconds(), baseNames(loaded))
			}
			if chart != "" {
				if err := c.InstallChart(ctx, install); err != nil {
					return err
				}
				fmt.Fprintf(out, "%7.1fs  installed %s as %s/%s\n", time.Since(began).Seconds(), chart, namespace, release)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "export KUBECONFIG=%s\n", c.Kubeconfig())
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&nodes, "nodes", 0, "number of nodes; 0 means as many as there are, one for a new cluster")
	f.IntVar(&edgeNodes, "edge-nodes", 0, "number of edge nodes, which reach nothing but cloudcore; 0 means as many as there are")
	f.StringVar(&version, "kubernetes", "", "version of Kubernetes, with or without its patch: 1.35; empty means the existing cluster's, or the newest")
	f.DurationVar(&grace, "node-monitor-grace-period", 0, "how long a node may be silent before it is NotReady, such as 12s; 0 means the existing cluster's, or Kubernetes' own, 50s")
	f.StringVar(&images, "images", "", "folder with image archives (*.tar) to load")
	f.StringVar(&chart, "chart", "", "folder of a Helm chart to install")
	f.StringArrayVar(&set, "set", nil, "value for the chart, key=value as with helm; may be repeated")
	f.StringVar(&namespace, "namespace", "default", "namespace for the chart")
	f.StringVar(&release, "release", "akri", "name of the chart's release")
	f.DurationVar(&wait, "wait", 5*time.Minute, "how long to wait until the chart's objects are ready; 0 means not to wait")
	f.BoolVar(&noInstall, "no-install", false, "fail when Debian packages are missing, rather than install them")
	for _, name := range []string{"images", "chart"} {
		cli.CompleteFlag(cmd, name)
	}
	cli.CompleteValues(cmd, "kubernetes", devcluster.KubernetesVersions()...)
	return cmd
}

// checkUp refuses wrong arguments before anything is done, and completes what
// to install.
func checkUp(cmd *cobra.Command, nodes, edgeNodes int, version string, grace time.Duration, images string, set []string, install *helm.InstallOptions) (err error) {
	switch {
	case nodes > devcluster.MaxNodes:
		return exitcode.Usagef("--nodes is %d: at most %d", nodes, devcluster.MaxNodes)
	case nodes < 0 || edgeNodes < 0 || nodes+edgeNodes > devcluster.MaxNodes:
		return exitcode.Usagef("--nodes is %d and --edge-nodes %d: at most %d in all", nodes, edgeNodes, devcluster.MaxNodes)
	}
	if cmd.Flags().Changed("kubernetes") {
		if err := devcluster.CheckKubernetes(version); err != nil {
			return exitcode.Usagef("--kubernetes: %w", err)
		}
	}
	if err := devcluster.CheckNodeGrace(grace); err != nil {
		return exitcode.Usagef("--node-monitor-grace-period: %w", err)
	}
	if images != "" {
		if _, err := devcluster.ImageArchives(images); err != nil {
			return fmt.Errorf("--images: %w", err)
		}
	}
	if install.Values, err = helm.ParseValues(set); err != nil {
		return exitcode.Usagef("--set: %w", err)
	}
	if install.ChartDir != "" {
		if err := helm.CheckChart(cmd.Context(), *install); err != nil {
			return fmt.Errorf("--chart: %w", err)
		}
		return nil
	}
	for _, name := range []string{"set", "namespace", "release", "wait"} {
		if cmd.Flags().Changed(name) {
			return exitcode.Usagef("--%s is for a chart, and there is no --chart", name)
		}
	}
	return nil
}

func baseNames(paths []string) string {
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return strings.Join(names, ", ")
}

func newDownCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster and remove everything",
		Long: `Stops all processes and containers of the cluster and removes its namespaces,
links, cgroups, plugged devices and files. It also cleans up after an
interrupted up, or after a reboot. Installed packages and the cache of built
programs stay.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return devcluster.Down(cmd.Context(), *dir, cmd.ErrOrStderr())
		},
	}
}

func newKubeconfigCommand(dir *string) *cobra.Command {
	var path bool
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the kubeconfig of the cluster's administrator",
		Long: `Prints the kubeconfig of the cluster's administrator, or with --path where it is:

  export KUBECONFIG=$(akri dev kubeconfig --path)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := devcluster.Open(*dir)
			if err != nil {
				return err
			}
			if path {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), c.Kubeconfig())
				return err
			}
			return copyFile(cmd.OutOrStdout(), c.Kubeconfig())
		},
	}
	cmd.Flags().BoolVar(&path, "path", false, "print the file's path only")
	return cmd
}
