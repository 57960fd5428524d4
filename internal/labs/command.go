package labs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/akri-go/akri/internal/helm"
)

// stopTimeout is how long a command may take to end when it is told to.
const stopTimeout = 5 * time.Second

// command runs a command as it is written. One that ends with & runs on until the
// lab ends.
func (r *run) command(ctx context.Context, text string) error {
	fields := strings.Fields(text)
	if len(fields) > 1 && fields[0] == "microk8s" && fields[1] == "helm3" {
		fields = fields[1:]
		text = strings.TrimPrefix(text, "microk8s ")
	}
	switch fields[0] {
	case "export":
		return r.export(text)
	case "helm", "helm3":
		words, err := split(text, r.variable)
		if err != nil {
			return err
		}
		return r.helm(ctx, words[1:])
	}
	if background, ok := strings.CutSuffix(text, "&"); ok && !strings.HasSuffix(background, "&") {
		c := r.bash(context.WithoutCancel(ctx), "exec "+background)
		if err := c.Start(); err != nil {
			return err
		}
		r.started = append(r.started, c)
		return nil
	}
	return r.bash(ctx, text).Run()
}

func (r *run) variable(name string) string {
	if value, ok := r.env[name]; ok {
		return value
	}
	return os.Getenv(name)
}

// export sets a variable for the commands that follow.
func (r *run) export(text string) error {
	words, err := split(text, r.variable)
	if err != nil {
		return err
	}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("export %s: no value", w)
		}
		r.env[name] = value
	}
	return nil
}

// bash is a command that can be told to end, with all that it has started.
func (r *run) bash(ctx context.Context, text string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	c.Dir, c.Stdout, c.Stderr = r.Repo, r.Out, r.Out
	c.Env = append(os.Environ(), "PATH="+r.shims+":"+os.Getenv("PATH"))
	for name, value := range r.env {
		c.Env = append(c.Env, name+"="+value)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = stopTimeout
	return c
}

// stop ends a command that runs on.
func stop(c *exec.Cmd) {
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM) // it may have ended
	timer := time.AfterFunc(stopTimeout, func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	_ = c.Wait()
}

// helm does with Helm's library what helm does.
func (r *run) helm(ctx context.Context, words []string) error {
	call, err := parseHelm(words)
	if err != nil {
		return err
	}
	if call.verb == "uninstall" {
		return r.cluster.Uninstall(ctx, helm.UninstallOptions{Release: call.release, Namespace: call.namespace})
	}
	values, err := helm.ParseValues(call.set)
	if err != nil {
		return err
	}
	return r.cluster.InstallChart(ctx, helm.InstallOptions{ChartDir: filepath.Join(r.Repo, call.chart),
		Release: call.release, Namespace: call.namespace, Values: values})
}
