package devcluster

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const controlCell = "control-plane"

func nodeCell(node int) string { return "node" + strconv.Itoa(node) }

// inside is where a cell finds the binaries and the cluster's folder, whatever
// the private mounts hide.
const (
	insideBin     = "/run/akri-dev/bin"
	insideCluster = "/run/akri-dev/cluster"
)

//go:embed cell.sh
var cellScript string

// cell is a set of namespaces, see the package documentation. All its files
// are in the cluster's folder; the value itself holds no state.
type cell struct {
	name   string // controlCell or nodeCell(n)
	netns  string
	dir    string // the cluster's
	binDir string // the cache with the binaries
	pause  string // path of the holder's program, below binDir
}

func (c cell) holderFile() string { return filepath.Join(c.dir, "run", c.name+".json") }
func (c cell) processFile(component string) string {
	return filepath.Join(c.dir, "run", c.name+"_"+component+".json")
}
func (c cell) logFile(component string) string {
	return filepath.Join(c.dir, "logs", c.name+"_"+component+".log")
}

func (c cell) holder() (proc, error) {
	var p proc
	return p, readJSON(c.holderFile(), &p)
}

// insideBinary translates the path of a cached binary to the path that it has
// in every cell.
func (c cell) insideBinary(path string) string {
	return insideBin + strings.TrimPrefix(path, c.binDir)
}

// insidePath is a path in the cluster's folder as every cell sees it.
func insidePath(elem ...string) string {
	return filepath.Join(append([]string{insideCluster}, elem...)...)
}

// create makes the cell unless it is there. It reports whether it made it.
func (c cell) create(ctx context.Context) (bool, error) {
	old, err := c.holder()
	if err != nil {
		return false, err
	}
	if old.alive() {
		return false, nil
	}
	// What an interrupted run or a dead holder left under this name.
	if err := deleteNetNS(ctx, c.netns); err != nil {
		return false, err
	}
	log, err := openLog(c.logFile("cell"))
	if err != nil {
		return false, err
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", "-c", cellScript, "akri-dev-"+c.name,
		c.name, c.dir, c.binDir, strings.TrimPrefix(c.pause, c.binDir+"/"))
	cmd.Dir = "/"
	cmd.Env = cellEnv("")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true, // a Ctrl-C at the terminal is not for the cluster
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("make the namespaces of %s: %w", c.name, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	pid := cmd.Process.Pid
	self, err := identify(pid)
	if err == nil {
		err = writeJSON(c.holderFile(), self)
	}
	if err == nil {
		// The script ends by becoming the holder's program.
		err = poll(ctx, c.name+" has its mounts", 5*time.Millisecond, func(context.Context) error {
			select {
			case err := <-exited:
				return &fatalError{fmt.Errorf("its first process ended (%v), see %s", err, c.logFile("cell"))}
			default:
			}
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if err == nil && filepath.Base(exe) != filepath.Base(c.pause) {
				err = fmt.Errorf("it is still at work")
			}
			return err
		})
	}
	if err == nil {
		err = runIP(ctx, "netns", "attach", c.netns, strconv.Itoa(pid))
	}
	if err != nil {
		_ = cmd.Process.Kill() // ends the whole cell
		return false, err
	}
	return true, nil
}

// command prepares a command that runs in the cell and ends with ctx.
func (c cell) command(ctx context.Context, path string, argv ...string) (*exec.Cmd, error) {
	h, err := c.holder()
	if err != nil {
		return nil, err
	}
	if !h.alive() {
		return nil, fmt.Errorf("%s does not run; `akri dev up` starts it", c.name)
	}
	args := append([]string{"-t", strconv.Itoa(h.PID), "-m", "-u", "-i", "-n", "-p", "--",
		// nsenter waits outside while its child works inside; when nsenter is
		// killed, the child must not work on.
		"setpriv", "--pdeathsig", "KILL", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Dir = "/"
	cmd.Env = cellEnv(path)
	cmd.WaitDelay = 3 * time.Second
	return cmd, nil
}

// start starts a component in the cell unless it runs. Its output goes to its
// log, and it outlives this process.
func (c cell) start(ctx context.Context, component, binary string, args ...string) (started bool, err error) {
	if p, err := c.process(component); err != nil || p.alive() {
		return false, err
	}
	log, err := openLog(c.logFile(component))
	if err != nil {
		return false, err
	}
	defer log.Close()
	inside := c.insideBinary(binary)
	// The component's number in the cell comes back on standard output; as a
	// background child of a shell that ends, it becomes a child of the holder.
	script := `setsid "$@" </dev/null >&3 2>&3 3>&- & echo $!`
	cmd, err := c.command(ctx, filepath.Dir(inside), append([]string{"/bin/sh", "-c", script, "sh", inside}, args...)...)
	if err != nil {
		return false, err
	}
	cmd.ExtraFiles = []*os.File{log}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return false, fmt.Errorf("start %s in %s: %w: %s", component, c.name, interrupted(ctx, err), strings.TrimSpace(stderr.String()))
	}
	inner, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return false, fmt.Errorf("start %s in %s: its number: %w", component, c.name, err)
	}
	pid, err := c.hostPID(inner)
	if err != nil {
		return false, fmt.Errorf("start %s in %s: %w, see %s", component, c.name, err, c.logFile(component))
	}
	p, err := identify(pid)
	if err != nil {
		return false, fmt.Errorf("%s in %s ended at once, see %s", component, c.name, c.logFile(component))
	}
	return true, writeJSON(c.processFile(component), p)
}

// process returns the record of a component, the zero proc when it was never
// started.
func (c cell) process(component string) (proc, error) {
	var p proc
	return p, readJSON(c.processFile(component), &p)
}

// stop sends sig to a component and waits for its end.
func (c cell) stop(ctx context.Context, component string, sig unix.Signal) error {
	p, err := c.process(component)
	if err != nil {
		return err
	}
	if err := p.signal(ctx, sig, true); err != nil {
		return fmt.Errorf("stop %s in %s: %w", component, c.name, err)
	}
	return nil
}

// hostPID translates a process number of the cell.
func (c cell) hostPID(inner int) (int, error) {
	h, err := c.holder()
	if err != nil {
		return 0, err
	}
	link := fmt.Sprintf("/proc/%d/ns/pid", h.PID)
	var st unix.Stat_t
	if err := unix.Stat(link, &st); err != nil {
		return 0, err
	}
	pids, err := pidsInNamespace("pid", st.Ino)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		if innermostPID(string(data)) == inner {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("it ended at once")
}

// innermostPID returns the last number of the NSpid line of /proc/<pid>/status,
// 0 when there is none.
func innermostPID(status string) int {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				return 0
			}
			n, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

func cellEnv(path string) []string {
	const system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if path != "" {
		path += ":"
	}
	return []string{"PATH=" + path + system, "HOME=/root", "LANG=C.UTF-8"}
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// interrupted returns the error of a command, or ctx's if that ended the
// command, whose own says only that it was killed.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// runIP runs the ip program on the machine.
func runIP(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), interrupted(ctx, err), bytes.TrimSpace(out))
	}
	return nil
}

// runPlan runs ip with each list of arguments.
func runPlan(ctx context.Context, plan [][]string) error {
	for _, args := range plan {
		if err := runIP(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// deleteNetNS removes the name of a network namespace; it lives on while
// processes are in it.
func deleteNetNS(ctx context.Context, name string) error {
	if _, err := os.Lstat(filepath.Join("/run/netns", name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return runIP(ctx, "netns", "delete", name)
}
