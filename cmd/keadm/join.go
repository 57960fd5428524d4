package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
	"github.com/akri-go/akri/internal/edge/config"
	"github.com/akri-go/akri/internal/edge/edged"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/keadm"
	"github.com/akri-go/akri/internal/keadm/preflight"
)

// dirDefault is where edgecore's configuration and certificates are.
const dirDefault = "/etc/kubeedge"

func newJoinCommand() *cobra.Command {
	var (
		o    keadm.Options
		file string
	)
	cmd := &cobra.Command{
		Use:   "join --cloudcore-ipport HOST:PORT --token TOKEN",
		Short: "Make this machine an edge node",
		Long: `Makes this machine an edge node. It looks whether the machine has what an edge node
needs, and says all that is missing; gets a certificate with the token; and writes
the configuration of edgecore. Where systemd runs it installs edgecore as a unit
(edgecore.service), starts it, now and at boot, and waits until it is connected;
else it says how to start it.

If it fails, or Ctrl-C ends it, it takes back what it has done. It can be repeated,
and leaves alone what is this node's already; with a newer edgecore beside keadm it
installs that one and restarts it.

The machine needs a kubelet, a container runtime such as containerd, and one
connection out: to ports 10000 and 10002 of cloudcore.

A token on a command line is in the shell's history, and other users of the machine
can see it while keadm runs. --token-file reads it from a file, or with - from the
input:

  ssh shop-1 sudo keadm join -e cloud.example.org:10000 --token-file - <token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Node == "" {
				o.Node = config.Default().Modules.Edged.HostnameOverride
			}
			if err := trust.ValidNode(o.Node); err != nil {
				return exitcode.Usagef("--edgenode-name: %w", err)
			}
			if _, err := o.JoinServer(); err != nil {
				return exitcode.AsUsage(err)
			}
			for _, name := range o.Ignore {
				if name != "all" && !slices.Contains(preflight.Checks(), name) {
					return exitcode.Usagef("--ignore-preflight-errors: there is no check %q: choose all, or of %s", name, strings.Join(preflight.Checks(), ", "))
				}
			}
			if o.KubeProxy == "none" {
				o.KubeProxy = ""
			}
			if file != "" {
				var err error
				if o.Token, err = readToken(cmd.InOrStdin(), file); err != nil {
					return err
				}
			}
			o.System = keadm.Here()
			return keadm.Join(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Cloudcore, "cloudcore-ipport", "e", "", "`host:port` of cloudcore's links")
	f.IntVarP(&o.CertPort, "certport", "s", keadm.CertPortDefault, "port of cloudcore's certificates, at the same host")
	f.StringVarP(&o.Token, "token", "t", "", "join `token`, as keadm gettoken prints it")
	f.StringVar(&file, "token-file", "", "`file` with the join token; - is the input")
	f.StringVarP(&o.Node, "edgenode-name", "i", "", "the node's `name`; without, the host name")
	f.StringVar(&o.Dir, "dir", dirDefault, "`folder` of edgecore's configuration and certificates")
	f.StringVar(&o.Kubelet, "kubelet", config.Default().Modules.Edged.Kubelet, "the kubelet, a `program`")
	f.StringVar(&o.KubeProxy, "kube-proxy", config.Default().Modules.Edged.KubeProxy.Program, "kube-proxy, a `program`; none means that edgecore runs none, and Services do not work")
	f.StringVar(&o.Edgecore, "edgecore", "", "edgecore, a `program`; without, the one beside keadm, or the one that is installed")
	f.StringVarP(&o.RuntimeEndpoint, "remote-runtime-endpoint", "p", edged.ContainerRuntime, "`socket` of the container runtime")
	f.StringVar(&o.CgroupDriver, "cgroupdriver", "systemd", "the kubelet's cgroup driver, systemd or cgroupfs: the container runtime's")
	f.StringVar(&o.NodeIP, "node-ip", "", "the node's `address`; without, the kubelet chooses")
	f.StringArrayVar(&o.Set, "set", nil, "a field of edgecore's configuration, `key=value` with the value in YAML; may be repeated")
	f.BoolVar(&o.Start, "start", true, "start edgecore, now and at boot")
	f.StringSliceVar(&o.Ignore, "ignore-preflight-errors", nil, "`checks` whose errors are warnings, by the names that are printed, or all")
	_ = cmd.MarkFlagRequired("cloudcore-ipport") // the flag exists
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	cli.CompleteFlag(cmd, "token-file")
	cli.CompleteFlag(cmd, "dir")
	cli.CompleteValues(cmd, "cgroupdriver", "systemd", "cgroupfs")
	cli.CompleteValues(cmd, "ignore-preflight-errors", append(preflight.Checks(), "all")...)
	return cmd
}
