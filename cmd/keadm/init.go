package main

import (
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/cloud/edgecontroller/kube"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/helm"
	"github.com/akri-go/akri/internal/keadm"
)

func newInitCommand() *cobra.Command {
	var (
		in cluster
		o  keadm.InitOptions
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Install cloudcore in the cluster",
		Long: `Installs cloudcore, the cloud end of edge nodes, with the Helm chart that is inside
this program, waits until it is ready, and says where edge nodes must reach it. It
is a Helm release (cloudcore): helm list shows it, and helm uninstall removes it. If
it is there already, it is upgraded, and values that were set before stay.

Edge nodes reach cloudcore by its Service. In a cluster without load balancers they
reach it at ports of the cluster's nodes:

  keadm init --set service.type=NodePort,service.nodePorts.hub=30000,service.nodePorts.join=30002

--advertise-address is for a host that the cluster does not know, such as a public
address or a name in DNS. cloudcore's certificate does not depend on it.

It warns if the API server does not hold edge nodes to what is theirs, as that of
MicroK8s does not before microk8s enable rbac.

keadm reaches the cluster as kubectl does, and needs the rights of a cluster
administrator.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := helm.ParseValues(o.Set); err != nil {
				return exitcode.Usagef("--set: %w", err)
			}
			o.Kubeconfig, o.Namespace = in.kubeconfig, in.namespace
			cfg, err := in.config()
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(cfg)
			if err != nil {
				return err
			}
			if o.API, err = kube.New(cfg); err != nil {
				return err
			}
			return keadm.Init(cmd.Context(), o, client, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.kubeconfig, "kube-config", "", "kubeconfig `file`; without, that of kubectl")
	f.StringVar(&in.namespace, "namespace", keadm.NamespaceDefault, "namespace for cloudcore; it is made if it is not there")
	f.StringVar(&o.Advertise, "advertise-address", "", "`host` at which edge nodes reach cloudcore; without, the cluster says it")
	f.StringVar(&o.Chart, "chart", "", "chart to install, a `folder` or archive; without, the one inside keadm")
	f.StringArrayVar(&o.Set, "set", nil, "value for the chart, `key=value` as with helm; may be repeated")
	f.DurationVar(&o.Wait, "wait", 5*time.Minute, "how long to wait until cloudcore is ready")
	in.completions(cmd)
	cli.CompleteFlag(cmd, "chart", "tgz")
	return cmd
}
