package main

import (
	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/devcluster"
)

func newDevCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a local Kubernetes cluster for trials",
		Long: `Runs a real Kubernetes cluster on this machine, beside whatever else runs there:
etcd, API server, controller-manager and scheduler, and for each node containerd,
kubelet and kube-proxy, with cluster DNS, Services and NodePorts.

It needs root and Go: the programs are built once from their Go modules. On
Debian and Ubuntu it installs missing packages and says which. Each
node is a set of Linux namespaces; another Kubernetes, containerd, CNI or
firewall on this machine is not touched. Pods reach each other and this machine,
not the world beyond it, so images are loaded from archives.

  akri dev up                     # make or start the cluster
  akri dev kubectl get pods -A    # look at it
  akri dev plug                   # plug a device into this machine
  akri dev down                   # remove everything`,
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", devcluster.DefaultDir, "folder of the cluster; another folder is another cluster")
	cmd.AddCommand(
		newUpCommand(&dir),
		newDownCommand(&dir),
		newStatusCommand(&dir),
		newKubeconfigCommand(&dir),
		newKubectlCommand(&dir),
		newExecCommand(&dir),
		newLogsCommand(&dir),
		newPlugCommand(&dir),
		newUnplugCommand(&dir),
		newCutCommand(&dir),
		newRejoinCommand(&dir),
		newPowerOffCommand(&dir),
		newPowerOnCommand(&dir),
		newLinkCommand(&dir),
		newDemoCommand(&dir),
		newLabCommand(&dir),
	)
	cli.CompleteFlag(cmd, "dir")
	return cmd
}
