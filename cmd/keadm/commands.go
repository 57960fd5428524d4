package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/keadm"
	"github.com/akri-go/akri/internal/version"
)

// namespaceDefault is where the docs install the chart.
const namespaceDefault = "kubeedge"

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keadm",
		Short: "Join edge nodes to a cluster",
		Long: `keadm joins machines to a Kubernetes cluster as edge nodes. The cluster has
cloudcore, which the Helm chart cloudcore installs.

  keadm gettoken --edgenode-name shop-1                  # where kubectl works
  keadm join --cloudcore-ipport cloud.example.org:10000 --edgenode-name shop-1 --token ...
                                                         # on the machine, as root

` + exitcode.Text("it succeeded", "it failed") + fmt.Sprintf("\n  %d  it was interrupted, by Ctrl-C", exitcode.Interrupted),
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(newGetTokenCommand(), newJoinCommand(), newResetCommand())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitcode.AsUsage(err) })
	for _, c := range cmd.Commands() {
		strict(c)
	}
	return cmd
}

// strict makes wrong arguments wrong calls.
func strict(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return exitcode.Usagef("%w: see %s --help", err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		strict(c)
	}
}

// cluster says how to reach the Secret with the tokens.
type cluster struct{ kubeconfig, namespace, secret string }

func (c *cluster) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.kubeconfig, "kube-config", "", "kubeconfig file; empty means that of kubectl")
	f.StringVar(&c.namespace, "namespace", namespaceDefault, "namespace of cloudcore")
	f.StringVar(&c.secret, "secret", trust.SecretName, "Secret of cloudcore with its certificates and join tokens")
}

func (c *cluster) tokens() (*trust.Keeper, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	cfg.UserAgent = "keadm/" + version.String()
	store, err := trust.NewCluster(cfg, c.namespace, c.secret)
	if err != nil {
		return nil, err
	}
	return trust.New(store, nil, slog.New(slog.DiscardHandler)), nil
}

func newGetTokenCommand() *cobra.Command {
	var (
		in   cluster
		node string
		life time.Duration
	)
	cmd := &cobra.Command{
		Use:   "gettoken",
		Short: "Make a token with which a node can join",
		Long: `Makes a join token and prints it. It is good for one node: the named one, as often
as it needs, or the first new one that uses it. Whoever has it can join, so keep
it to yourself; keadm gettoken revoke makes it useless.

keadm reaches the cluster as kubectl does, and needs the right to read and change
the Secret of cloudcore.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(in, func(t *trust.Keeper) error {
				return keadm.Get(cmd.Context(), t, node, life, cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVarP(&node, "edgenode-name", "i", "", "node that may join; empty means the first new one")
	cmd.Flags().DurationVar(&life, "ttl", trust.TokenLifetime, fmt.Sprintf("how long the token is good, up to %s", trust.MaxTokenLifetime))
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the tokens that are good now",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(in, func(t *trust.Keeper) error {
				return keadm.List(cmd.Context(), t, time.Now(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}, &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a token useless",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(in, func(t *trust.Keeper) error { return t.DeleteToken(cmd.Context(), args[0]) })
		},
	})
	return cmd
}

func with(c cluster, do func(*trust.Keeper) error) error {
	t, err := c.tokens()
	if err != nil {
		return err
	}
	return do(t)
}

func newResetCommand() *cobra.Command {
	var in cluster
	cmd := &cobra.Command{
		Use:   "reset NODE",
		Short: "Shut an edge node out of the cluster",
		Long: `Makes all certificates and join tokens that a node has so far useless, and ends its
connection within seconds: for a machine that is lost or stolen. The Node and its
Pods stay in the cluster; kubectl delete node removes them. A new token lets the
node join again.

On a machine that shall no longer be an edge node, stop edgecore and remove
/etc/kubeedge and /var/lib/kubeedge.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(in, func(t *trust.Keeper) error { return t.Reset(cmd.Context(), args[0]) })
		},
	}
	in.flags(cmd)
	return cmd
}

func newJoinCommand() *cobra.Command {
	var o keadm.Options
	cmd := &cobra.Command{
		Use:   "join --cloudcore-ipport HOST:PORT --token TOKEN",
		Short: "Make this machine an edge node",
		Long: `Makes this machine an edge node: it looks whether the machine has what an edge
node needs, gets a certificate with the token, and writes the configuration of
edgecore, which it does not start. It can be repeated, and leaves alone what is
this node's already.

The machine needs a kubelet, a container runtime such as containerd, and one
connection out: to ports 10000 and 10002 of cloudcore.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Node == "" {
				o.Node = config.Default().Modules.Edged.HostnameOverride
			}
			if _, err := o.JoinServer(); err != nil {
				return exitcode.AsUsage(err)
			}
			return join(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Cloudcore, "cloudcore-ipport", "e", "", "`host:port` of cloudcore's links")
	f.IntVarP(&o.CertPort, "certport", "s", 10002, "port of cloudcore's certificates, at the same host")
	f.StringVarP(&o.Token, "token", "t", "", "join `token`, as keadm gettoken prints it")
	f.StringVarP(&o.Node, "edgenode-name", "i", "", "the node's `name`; empty means the host name")
	f.StringVar(&o.Dir, "dir", "/etc/kubeedge", "`folder` of edgecore's configuration and certificates")
	f.StringVar(&o.Kubelet, "kubelet", config.Default().Modules.Edged.Kubelet, "the kubelet, a `program`")
	f.StringVar(&o.KubeProxy, "kube-proxy", config.Default().Modules.Edged.KubeProxy.Program, "kube-proxy, a `program`; empty means that edgecore runs none, and Services do not work")
	f.StringVarP(&o.RuntimeEndpoint, "remote-runtime-endpoint", "p", edged.ContainerRuntime, "`socket` of the container runtime")
	f.StringVar(&o.CgroupDriver, "cgroupdriver", "systemd", "the kubelet's cgroup driver, systemd or cgroupfs: the container runtime's")
	f.StringVar(&o.NodeIP, "node-ip", "", "the node's `address`; empty lets the kubelet choose")
	_ = cmd.MarkFlagRequired("cloudcore-ipport")
	_ = cmd.MarkFlagRequired("token")
	return cmd
}

func join(ctx context.Context, o keadm.Options, out io.Writer) error {
	if err := keadm.Join(ctx, o, out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "start edgecore with\n\n  edgecore --config %s\n\nand see edgecore status\n", o.Config())
	return err
}
