package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/trial"
	"github.com/akri-go/akri/internal/cli"
	"github.com/akri-go/akri/internal/exitcode"
	"github.com/akri-go/akri/internal/shorten"
)

func newHandlerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "handler",
		Short: "Help with discovery handlers of your own",
		Long: `Help with discovery handlers of your own: docs/write-a-handler.md says how to
write one, in Go or in any other language.`,
	}
	cmd.AddCommand(newHandlerTestCommand())
	return cmd
}

// handlerTest are the flags of "akri handler test".
type handlerTest struct {
	directory, socket, name string
	details, nothing        string
	others, bad             []string
	properties, changes     []string
	credentials, output     string
	shared, logs            bool
	timeout, watch          time.Duration
	program                 []string
	sharedGiven             bool
}

func newHandlerTestCommand() *cobra.Command {
	var h handlerTest
	cmd := &cobra.Command{
		Use:   "test [--details TEXT] [flags] [-- COMMAND ARGS...]",
		Short: "Test any discovery handler, without a cluster",
		Long: `Play Akri's agent for a discovery handler, in whatever language it is written,
and say what it does wrong: how it registers, whether its lists are complete and
its ids stable, what it does with bad details, when calls are dropped, and when
the agent restarts. It needs neither a cluster nor root.

There are three ways to say which handler:

  -- COMMAND ARGS   starts the program, kills and restarts it in between, and
                    stops it with all of its processes
  --directory DIR   waits until a handler that you start registers in this folder
  --socket PATH     calls a handler that listens already; if no agent is there, it
                    makes the agent's socket beside the handler's

Without any of them it makes a folder, and says how to point the handler at it.
A handler finds the folder in the variable DISCOVERY_HANDLERS_DIRECTORY, and the
agent's socket in it is agent-registration.sock.

--details are the discoveryDetails of a Configuration that finds some devices.
Texts that begin with @ name a file that has the text; @- is standard input.

A failure is a fault that the agent or its users would notice. A warning works,
but not as well as it could; what handlers of upstream Akri do is at most that.
What a handler has to do is waited for as long as --timeout, so a trial of one
with faults can take minutes.

` + cli.ExitText("there is no failure; there may be warnings", "there is a failure, or the handler cannot be tried"),
		Example: `  akri handler test --details 'list: workshop' -- ./inventory
  akri handler test --details @details.yaml --details-bad 'list: [' --details-nothing 'list: empty' -- python3 inventory.py
  akri handler test --details 'list: workshop' --change 'echo saw >>lists/workshop' -- ./inventory
  akri handler test --directory /tmp/handlers --details 'list: workshop'
  akri handler test --socket /var/lib/akri/inventory.sock --details 'list: workshop' -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); len(args) > 0 && dash != 0 {
				return exitcode.Usagef("write -- before the handler's command: akri handler test --details "+
					"TEXT -- %s", strings.Join(args, " "))
			} else if dash == 0 && len(args) == 0 {
				return exitcode.Usagef("nothing follows --: give the handler's command")
			}
			h.program, h.sharedGiven = args, cmd.Flags().Changed("shared")
			return h.run(cmd)
		},
	}
	h.register(cmd)
	return cmd
}

func (h *handlerTest) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&h.details, "details", "", "discoveryDetails that find devices (`text`, or @file)")
	f.StringArrayVar(&h.others, "details-other", nil,
		"details (`text`, or @file) that find other devices, asked at the same time; may be given several times")
	f.StringArrayVar(&h.bad, "details-bad", nil, "details (`text`, or @file) that must be refused; may be given several times")
	f.StringVar(&h.nothing, "details-nothing", "", "details (`text`, or @file) that are good but find nothing")
	f.StringArrayVar(&h.properties, "property", nil,
		"a discoveryProperty (`name=value`, or name=@file); may be given several times")
	f.StringVar(&h.credentials, "credentials", "", "take discoveryProperties from this YAML `file` of name: value")
	f.StringArrayVar(&h.changes, "change", nil,
		"`command` for sh that changes which devices there are; may be given several times")
	f.StringVar(&h.directory, "directory", "", "`folder` where agent and handler meet")
	f.StringVar(&h.socket, "socket", "", "`path` where the handler listens")
	f.StringVar(&h.name, "name", "", "`name` that the handler must register")
	f.BoolVar(&h.shared, "shared", false, "the handler must register its devices as shared (=false: as local)")
	f.DurationVar(&h.timeout, "timeout", trial.DefaultTimeout,
		"how long to wait for what must happen; upstream's handlers need more than 10s")
	f.DurationVar(&h.watch, "watch", trial.DefaultWatch,
		"how long to watch for lists that must not come, and how long the agent is away when it restarts")
	f.BoolVar(&h.logs, "logs", false, "show what the program prints")
	f.StringVarP(&h.output, "output", "o", "table", "`format`: table, json or yaml")
	cli.CompleteValues(cmd, "output", "table", "json", "yaml")
	cli.CompleteFlag(cmd, "directory")
	cli.CompleteFlag(cmd, "socket", "sock")
	cli.CompleteFlag(cmd, "credentials", "yaml", "yml")
	cmd.MarkFlagsMutuallyExclusive("directory", "socket")
}

func (h *handlerTest) run(cmd *cobra.Command) error {
	s, err := h.subject(cmd)
	if err != nil {
		return err
	}
	p, err := newTrialPrinter(cmd.OutOrStdout(), h.output)
	if err != nil {
		return exitcode.AsUsage(err)
	}
	s.Found = p.found
	s.Waiting = func(dir string) { fmt.Fprint(cmd.ErrOrStderr(), howToStart(dir)) }
	// A reader that goes must not end this program before it has stopped the
	// handler: with this, writing fails instead.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	ctx, stop := context.WithCancelCause(cmd.Context())
	defer stop(nil)
	p.failed = stop
	report, err := trial.Run(ctx, s)
	switch {
	case cmd.Context().Err() != nil:
		return errors.New("interrupted")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if err != nil && len(report.Findings) == 0 {
		return err
	}
	if err := p.end(report); err != nil {
		return err
	}
	if n := report.Count(trial.Failure); err == nil && n > 0 {
		if len(h.program) > 0 && !h.logs {
			fmt.Fprintln(cmd.ErrOrStderr(), "--logs shows what the program prints.")
		}
		return fmt.Errorf("%s", countOf(n, "failure", "failures"))
	}
	return err
}

// howToStart says how to point a handler at a folder.
func howToStart(dir string) string {
	return fmt.Sprintf(`Waiting for a handler. Start yours with
  DISCOVERY_HANDLERS_DIRECTORY=%[1]s
in its environment, and without POD_IP unless it is to listen on an address. In a
container, mount the folder under the same path, and let its user write there.
Ctrl-C ends the wait.
`, dir)
}

// subject is what the flags say.
func (h *handlerTest) subject(cmd *cobra.Command) (s trial.Subject, err error) {
	if h.socket != "" && len(h.program) > 0 {
		return s, exitcode.Usagef("--socket is for a handler that runs already: leave it out, or the command")
	}
	s = trial.Subject{Directory: h.directory, Socket: h.socket, Name: h.name, Timeout: h.timeout, Watch: h.watch}
	if h.watch == 0 {
		s.Watch = -1
	}
	if h.timeout == 0 {
		return s, exitcode.Usagef("--timeout is 0: handlers need some time")
	}
	if h.sharedGiven {
		s.Shared = &h.shared
	}
	if len(h.program) > 0 {
		s.Program = &trial.Program{Args: h.program}
		if h.logs {
			s.Program.Output = cmd.ErrOrStderr()
		}
	}
	properties, err := readCredentials(h.credentials, cmd.InOrStdin())
	if err != nil {
		return s, err
	}
	for _, p := range h.properties {
		name, text, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return s, exitcode.Usagef("--property %q: want name=value", p)
		}
		if text, err = textOrFile(text, cmd.InOrStdin()); err != nil {
			return s, err
		}
		if properties == nil {
			properties = map[string][]byte{}
		}
		properties[name] = []byte(text)
	}
	request := func(details string) discovery.Request {
		var text string
		if err == nil {
			text, err = textOrFile(details, cmd.InOrStdin())
		}
		return discovery.Request{Details: text, Properties: properties}
	}
	s.Request = request(h.details)
	for _, d := range h.others {
		s.Others = append(s.Others, request(d))
	}
	for _, d := range h.bad {
		s.Bad = append(s.Bad, request(d))
	}
	if h.nothing != "" {
		r := request(h.nothing)
		s.Nothing = &r
	}
	for _, c := range h.changes {
		s.Changes = append(s.Changes, trial.Change{What: "ran " + c, Make: func(ctx context.Context) ([]string,
			error) {
			return nil, makeChange(ctx, c, h.timeout)
		}})
	}
	return s, err
}

// makeChange runs a command that changes which devices there are. What it leaves running
// in the background is not waited for.
func makeChange(ctx context.Context, command string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it has started
	cmd.WaitDelay = 100 * time.Millisecond
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("it has not ended within %s (--timeout)", within)
	case err != nil:
		return fmt.Errorf("%w: %s", err, shorten.Text(strings.TrimSpace(string(out)), 1000))
	}
	return nil
}

// textOrFile returns a text, or that of the file which it names after an @.
func textOrFile(text string, stdin io.Reader) (string, error) {
	file, ok := strings.CutPrefix(text, "@")
	if !ok {
		return text, nil
	}
	b, err := readInput(file, stdin)
	return string(b), err
}
