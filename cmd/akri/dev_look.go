package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/exitcode"
)

func newStatusCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the state of the cluster",
		Long: `Shows every component with its process, memory and log, the version of
Kubernetes, whether the API server answers, the nodes, what edge nodes say
themselves, and the plugged devices. It fails if something does not run.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := devcluster.Open(*dir)
			if err != nil {
				return err
			}
			st := c.Status(cmd.Context())
			if err := printStatus(cmd.OutOrStdout(), c, st); err != nil {
				return err
			}
			if !st.Healthy() {
				hint := "not everything runs; `akri dev up` starts what does not"
				if len(st.EdgeNodes) > 0 {
					hint += ", and `akri dev rejoin` mends a link"
				}
				return errors.New(hint)
			}
			return nil
		},
	}
}

func printStatus(w io.Writer, c *devcluster.Cluster, st devcluster.Status) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "CELL\tCOMPONENT\tSTATE\tPID\tMEMORY\tLOG")
	for _, p := range st.Components {
		state, pid, memory := "stopped", "-", "-"
		if p.Running {
			state, pid, memory = "running", fmt.Sprint(p.PID), fmt.Sprintf("%d MiB", p.RSS>>20)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Cell, p.Name, state, pid, memory, p.Log)
	}
	fmt.Fprintln(tw)
	fmt.Fprintln(tw, "NODE\tADDRESS\tSTATE\tPODS")
	for _, n := range st.Nodes {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\n", n.Name, n.Address, n.State, n.Pods)
	}
	if len(st.EdgeNodes) > 0 {
		fmt.Fprintln(tw)
		fmt.Fprintln(tw, "EDGE NODE\tADDRESS\tLINK\tKUBELET\tPODS")
	}
	for _, e := range st.EdgeNodes {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", e.Name, e.Address, e.Link, e.Kubelet, e.Pods)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nKubernetes  %s\nAPI server  %s\nkubeconfig  %s\n", c.Kubernetes(), st.API, c.Kubeconfig())
	if len(st.Plugged) > 0 {
		fmt.Fprintf(w, "plugged     %s\n", strings.Join(st.Plugged, ", "))
	}
	return nil
}

func newKubectlCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl [--dir folder] [--] <arguments>",
		Short: "Run the cluster's kubectl on the cluster",
		Long: `Runs the kubectl that was built with the cluster, with its kubeconfig. All
further arguments are kubectl's:

  akri dev kubectl get pods -A

` + cli.ExitText("kubectl succeeded", "kubectl failed, or there is no cluster") + "\n\nAny other code is kubectl's own.",
		Args:               cobra.ArbitraryArgs,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, folder, help, err := kubectlArgs(args, *dir)
			switch {
			case err != nil:
				return err
			case help:
				return cmd.Help()
			}
			c, err := devcluster.Open(folder)
			if err != nil {
				return err
			}
			kubectl := exec.CommandContext(cmd.Context(), c.Binary("kubectl"), args...)
			kubectl.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
			kubectl.Stdin, kubectl.Stdout, kubectl.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			kubectl.Cancel = func() error { return kubectl.Process.Signal(os.Interrupt) }
			return ended(kubectl.Run())
		},
	}
}

// kubectlArgs returns kubectl's arguments, and the cluster's folder: the flag
// of akri dev may come first, and "--" may follow it.
func kubectlArgs(args []string, dir string) (rest []string, folder string, help bool, err error) {
	for len(args) > 0 {
		switch value, joined := strings.CutPrefix(args[0], "--dir="); {
		case joined:
			dir, args = value, args[1:]
		case args[0] == "--dir" && len(args) > 1:
			dir, args = args[1], args[2:]
		case args[0] == "-h", args[0] == "--help":
			return nil, dir, true, nil
		case args[0] == "--" && len(args) > 1:
			return args[1:], dir, false, nil
		case args[0] == "--", args[0] == "--dir":
			return nil, dir, false, exitcode.Usagef("nothing follows %s: give kubectl's arguments", args[0])
		default:
			return args, dir, false, nil
		}
		if dir == "" {
			return nil, dir, false, exitcode.Usagef("--dir is empty")
		}
	}
	return nil, dir, false, exitcode.Usagef("give kubectl's arguments, as in: akri dev kubectl get pods -A")
}

func newExecCommand(dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec NODE [--] PROGRAM [argument ...]",
		Short: "Run a program on a node",
		Long: `Runs a program on a node or an edge node, as root: it sees the node's network,
processes and /var/lib. The cluster's own programs are found by their names.

  akri dev exec akri-dev-1 -- ip address
  akri dev exec akri-edge-1 -- edgecore status --config ` + devcluster.EdgecoreConfig + `

` + cli.ExitText("the program succeeded", "it failed, or there is no cluster") + "\n\nAny other code is the program's own.",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && args[1] == "--" {
				args = slices.Delete(args, 1, 2)
			}
			if len(args) < 2 {
				return exitcode.Usagef("give a node and a program, as in: akri dev exec akri-dev-1 -- ip address")
			}
			c, err := devcluster.Open(*dir)
			if err != nil {
				return err
			}
			program, err := c.CommandOn(cmd.Context(), args[0], args[1:]...)
			switch {
			case errors.Is(err, devcluster.ErrNoNode):
				return exitcode.Usagef("%w", err)
			case err != nil:
				return err
			}
			program.Stdin, program.Stdout, program.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			program.Cancel = func() error { return program.Process.Signal(os.Interrupt) }
			return ended(program.Run())
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the program is the program's
	cmd.ValidArgsFunction = cli.CompleteWith(func(_ context.Context, args []string) []string {
		c, err := devcluster.Open(*dir)
		if err != nil || len(args) > 0 {
			return nil
		}
		return c.NodeNames()
	})
	return cmd
}

// ended returns how a program ended, as a shell would.
func ended(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return cli.ExitError(128 + int(status.Signal()))
	}
	return cli.ExitError(exit.ExitCode())
}

func newLogsCommand(dir *string) *cobra.Command {
	var lines int
	cmd := &cobra.Command{
		Use:   "logs [component]",
		Short: "Show the last lines of the components' logs",
		Long: `Shows the last lines of one component's log, or of all: kubelet, containerd,
kube-apiserver and so on. For Pods use
akri dev kubectl -- logs <pod>.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := devcluster.Open(*dir)
			if err != nil {
				return err
			}
			files, err := fs.Glob(os.DirFS(c.Logs()), "*.log")
			if err != nil {
				return err
			}
			if len(args) == 1 {
				files = slices.DeleteFunc(files, func(f string) bool { return !strings.Contains(f, args[0]) })
			}
			if len(files) == 0 {
				return fmt.Errorf("no such log in %s; akri dev status names them", c.Logs())
			}
			for _, f := range files {
				f = filepath.Join(c.Logs(), f)
				tail, err := lastLines(f, lines)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "==> %s\n%s\n", f, tail)
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 20, "number of lines of each log")
	cmd.ValidArgsFunction = cli.CompleteWith(func(_ context.Context, args []string) (names []string) {
		c, err := devcluster.Open(*dir)
		if err != nil || len(args) > 0 {
			return nil
		}
		files, _ := fs.Glob(os.DirFS(c.Logs()), "*.log") // the pattern is right
		for _, f := range files {
			names = append(names, strings.TrimSuffix(f, ".log"))
		}
		return names
	})
	return cmd
}

// lastLines returns up to n lines from the end of a file, from its last MiB.
func lastLines(path string, n int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	start := max(0, info.Size()-1<<20)
	data, err := io.ReadAll(io.NewSectionReader(f, start, info.Size()-start))
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-max(n, 0)):], "\n") + "\n", nil
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
