package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/explain"
	"github.com/akri-go/akri/internal/explain/snapshot"
	"github.com/akri-go/akri/internal/kubeconfig"
)

// explaining are the flags of "akri explain".
type explaining struct {
	kubeconfig, context, namespace, output string
}

func newExplainCommand() *cobra.Command {
	e := &explaining{}
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say why a device is not found, or a Pod does not run",
		Long: `Say what is not well in a cluster, and why: devices that are not found, brokers
that do not run, Pods that wait for a device, resources that are 0, nodes and
agents that are lost. Without a subcommand, everything that is not well.

The first line is the answer. Then comes what was seen, and what to do. What
follows from something else is said below that.

It reads the cluster of your kubeconfig, once, and changes nothing. It needs the
right to list Configurations, Instances, Nodes, Pods, Jobs, Services, Events,
Leases, DaemonSets, Deployments and ValidatingWebhookConfigurations; what you
may not read it leaves out, and says so.

` + explainExits(),
		Example: `  akri explain
  akri explain device /dev/video0
  akri explain pod logger -n lab
  akri explain configuration webcams -o json
  akri explain node edge-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.run(cmd, explain.Subject{}) },
	}
	f := cmd.PersistentFlags()
	f.StringVarP(&e.namespace, "namespace", "n", "", "`namespace` of what is asked about; without it, any in which "+
		"it is the only one of its name")
	f.StringVar(&e.kubeconfig, "kubeconfig", "", "kubeconfig `file`")
	f.StringVar(&e.context, "context", "", "`context` of the kubeconfig")
	f.StringVarP(&e.output, "output", "o", "text", "`format`: text, json or yaml")
	cli.CompleteValues(cmd, "output", "text", "json", "yaml")
	for _, sub := range []struct {
		kind                 explain.Kind
		use, short, long, eg string
		aliases              []string
	}{
		{explain.Device, "device", "Say why a device is not found, or not used",
			`Say why a device is not found, has no broker, or is not offered by its nodes. NAME
is that of its Instance, its device node, its address, or its id. A device that
nobody has found is explained by what each Configuration finds.`, "/dev/video0", []string{"instance", "akrii"}},
		{explain.Pod, "pod", "Say why a Pod does not run",
			`Say why a Pod does not run: a broker, or a Pod of your own that asks for a device.
For a Pod that waits for one, it says who has it.`, "logger", []string{"po", "pods"}},
		{explain.Configuration, "configuration", "Say why a Configuration finds nothing, or has no brokers",
			`Say why a Configuration finds nothing, and what is wrong with its devices and
brokers.`, "webcams", []string{"akric", "config"}},
		{explain.Node, "node", "Say what is wrong on a node",
			`Say what is wrong on a node, with its agent and its handlers, and with the devices
and Pods there.`, "edge-1", []string{"nodes"}},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: sub.use + " NAME", Short: sub.short, Aliases: sub.aliases, Long: sub.long + "\n\n" + explainExits(),
			Example: "  akri explain " + sub.use + " " + sub.eg,
			Args:    cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 || args[0] == "" {
					return exitcode.Usagef("give the name of a %s, as in: akri explain %s %s", sub.use, sub.use,
						sub.eg)
				}
				return e.run(cmd, subjectFor(sub.kind, args[0], e.namespace))
			},
			ValidArgsFunction: cli.CompleteWith(func(ctx context.Context, args []string) []string {
				if len(args) > 0 {
					return nil
				}
				return e.names(ctx, sub.kind)
			}),
		})
	}
	return cmd
}

// explainExits is the paragraph about exit codes.
func explainExits() string {
	text := cli.ExitText("nothing is wrong; there may be warnings",
		"it failed: the cluster cannot be read, or there is no such object")
	last := fmt.Sprintf("\n  %d", exitcode.Interrupted)
	return strings.Replace(text, last, fmt.Sprintf("\n  %d  something is wrong, and the output says what%s",
		exitcode.Found, last), 1)
}

// subjectFor is what a name on the command line stands for. NAMESPACE/NAME is
// understood too, as it is written in answers.
func subjectFor(kind explain.Kind, name, namespace string) explain.Subject {
	if kind == explain.Node {
		return explain.Subject{Kind: kind, Name: name}
	}
	ns, rest, ok := strings.Cut(name, "/")
	if ok && namespace == "" && ns != "" && !strings.Contains(rest, "/") {
		namespace, name = ns, rest
	}
	return explain.Subject{Kind: kind, Namespace: namespace, Name: name}
}

// connect returns a client of the cluster, its clock, and the namespace of the
// kubeconfig's context.
func (e *explaining) connect() (api client.Client, now func() time.Time, namespace string, err error) {
	cfg, namespace, err := kubeconfig.User(e.kubeconfig, e.context)
	if err == nil {
		api, now, err = snapshot.Client(cfg)
	}
	return api, now, namespace, err
}

// run explains a subject, or everything if it has no kind.
func (e *explaining) run(cmd *cobra.Command, s explain.Subject) error {
	if !slices.Contains([]string{"text", "json", "yaml"}, e.output) {
		return exitcode.Usagef("unknown format %q: choose text, json or yaml", e.output)
	}
	api, now, own, err := e.connect()
	if err != nil {
		return err
	}
	o := snapshot.Options{Namespace: cmp.Or(e.namespace, own)}
	if s.Kind == explain.Pod {
		o.Pod = s
	}
	cluster, err := snapshot.Read(cmd.Context(), api, now, o)
	if err != nil {
		return err
	}
	answer := explain.All(cluster, e.namespace)
	if s.Kind != "" {
		if answer, err = explain.Of(cluster, s); err != nil {
			return unreadable(err, cluster, s.Kind)
		}
	}
	if err := printAnswer(cmd.OutOrStdout(), e.output, answer); err != nil {
		return err
	}
	if !answer.Well {
		return cli.ExitError(exitcode.Found)
	}
	return nil
}

// unreadable adds to the error about something that is not there that not all of
// its kind could be read.
func unreadable(err error, cluster explain.Cluster, kind explain.Kind) error {
	var unknown *explain.UnknownError
	if !errors.As(err, &unknown) {
		return err
	}
	for _, u := range cluster.Unseen {
		if u.What == string(kind)+"s" {
			return fmt.Errorf("%w (not all %s could be read: %s)", err, u.What, u.Why)
		}
	}
	return err
}

// completionTimeout is how long a shell waits for names.
const completionTimeout = 3 * time.Second

// names returns the names of a kind, for completion; none if they cannot be read
// soon.
func (e *explaining) names(ctx context.Context, kind explain.Kind) []string {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	api, _, own, err := e.connect()
	if err != nil {
		return nil
	}
	namespace := e.namespace
	list := map[explain.Kind]client.ObjectList{
		explain.Configuration: &v0.ConfigurationList{}, explain.Device: &v0.InstanceList{},
		explain.Node: &corev1.NodeList{}, explain.Pod: &corev1.PodList{},
	}[kind]
	if kind == explain.Pod && namespace == "" {
		namespace = own // there are many
	}
	opts := []client.ListOption{client.Limit(500), client.InNamespace(namespace)}
	err = api.List(ctx, list, opts...)
	if apierrors.IsForbidden(err) && namespace == "" {
		err = api.List(ctx, list, client.Limit(500), client.InNamespace(own))
	}
	if err != nil {
		return nil
	}
	return namesIn(list)
}

func namesIn(list client.ObjectList) (names []string) {
	switch l := list.(type) {
	case *v0.ConfigurationList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	case *v0.InstanceList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
			if node := l.Items[i].Status.Device; strings.HasPrefix(node, "/dev/") {
				names = append(names, node)
			}
		}
	case *corev1.NodeList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	case *corev1.PodList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
