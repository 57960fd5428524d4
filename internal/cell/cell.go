package cell

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/internal/atomicfile"
	"github.com/akri-go/akri/internal/poll"
)

// Where the programs and the lab's folder are in every cell, whatever the private
// mounts hide.
const (
	insideBin = "/run/akri-dev/bin"
	insideLab = "/run/akri-dev/cluster"
)

//go:embed cell.sh
var cellScript string

// Cell is a cell of a lab. All its files are in the lab's folder; the value
// itself has no state.
type Cell struct {
	Name  string
	netNS string
	lab   Lab
}

func (c Cell) holderFile() string { return filepath.Join(c.lab.Dir, "run", c.Name+".json") }

func (c Cell) processFile(program string) string {
	return filepath.Join(c.lab.Dir, "run", c.Name+"_"+program+".json")
}

// LogFile is the path of a program's log.
func (c Cell) LogFile(program string) string {
	return filepath.Join(c.lab.Dir, "logs", c.Name+"_"+program+".log")
}

// Holder returns the process that holds the cell; the zero Process if the cell
// was never made.
func (c Cell) Holder() (Process, error) {
	var p Process
	return p, atomicfile.ReadJSON(c.holderFile(), &p)
}

// InsideBinary translates the path of a program below the lab's BinDir or its Dir
// to the path that it has in every cell.
func (c Cell) InsideBinary(path string) string {
	if rest, ok := strings.CutPrefix(path, c.lab.Dir+"/"); ok {
		return InsidePath(rest)
	}
	return insideBin + strings.TrimPrefix(path, c.lab.BinDir)
}

// InsidePath is a path in the lab's folder as every cell sees it.
func InsidePath(elem ...string) string {
	return filepath.Join(append([]string{insideLab}, elem...)...)
}

// Path returns the machine's path of a file of the cell, for instance of a
// socket below /run or /var/lib.
func (c Cell) Path(path string) (string, error) {
	h, err := c.running()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/root%s", h.PID, path), nil
}

// ErrNotRunning says that a cell has no live holder.
var ErrNotRunning = errors.New("it does not run")

func (c Cell) running() (Process, error) {
	h, err := c.Holder()
	if err == nil && !h.Alive() {
		err = fmt.Errorf("%s: %w", c.Name, ErrNotRunning)
	}
	return h, err
}

// create makes the cell unless it is there. It reports whether it made it.
func (c Cell) create(ctx context.Context) (bool, error) {
	old, err := c.Holder()
	if err != nil {
		return false, err
	}
	if old.Alive() {
		return false, nil
	}
	// Left by an interrupted run or a dead holder.
	if err := deleteNetNS(ctx, c.netNS); err != nil {
		return false, err
	}
	log, err := openLog(c.LogFile("cell"))
	if err != nil {
		return false, err
	}
	defer log.Close()
	args := []string{"-c", cellScript, holderName + c.Name, c.Name, c.lab.Dir, c.lab.BinDir, strings.TrimPrefix(c.lab.Holder, c.lab.BinDir+"/")}
	for _, s := range c.lab.Settings {
		args = append(args, s.String())
	}
	keepOwnFiles()
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = "/"
	cmd.Env = cellEnv("")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true, // a Ctrl-C at the terminal is not for the cluster
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("make the namespaces of %s: %w", c.Name, err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	pid := cmd.Process.Pid
	self, err := Identify(pid)
	if err == nil {
		err = atomicfile.WriteJSON(c.holderFile(), self)
	}
	if err == nil {
		// The script ends by becoming the holder's program.
		err = poll.Until(ctx, c.Name+" has its mounts", 5*time.Millisecond, func(context.Context) error {
			select {
			case err := <-exited:
				return poll.Fatal(fmt.Errorf("its first process ended (%v), see %s", err, c.LogFile("cell")))
			default:
			}
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if err == nil && filepath.Base(exe) != filepath.Base(c.lab.Holder) {
				err = fmt.Errorf("it is still at work")
			}
			return err
		})
	}
	if err == nil {
		err = RunIP(ctx, []string{"netns", "attach", c.netNS, strconv.Itoa(pid)})
	}
	if err != nil {
		_ = cmd.Process.Kill() // ends the whole cell
		return false, err
	}
	return true, nil
}

// keepOwnFiles keeps the files that this process has inherited from those that
// outlive it. They may be a lock that somebody waits for, or a pipe of which
// somebody reads the end. Files that Go opens are kept anyway.
func keepOwnFiles() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11
}

// Command prepares a command that runs in the cell, as root, and ends with ctx.
func (c Cell) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	return c.command(ctx, "", argv...)
}

// command is Command with a folder that comes first in PATH.
func (c Cell) command(ctx context.Context, path string, argv ...string) (*exec.Cmd, error) {
	h, err := c.running()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-t", strconv.Itoa(h.PID), "-m", "-u", "-i", "-n", "-p", "--",
		// nsenter waits outside while its child works inside; when nsenter is
		// killed, the child must not work on.
		"setpriv", "--pdeathsig", "KILL", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Dir = "/"
	cmd.Env = cellEnv(path)
	cmd.WaitDelay = 10 * time.Second
	return cmd, nil
}

// Start starts a program in the cell unless it runs. The binary is below the
// lab's BinDir or its Dir. Its output goes to its log, and it outlives this process.
func (c Cell) Start(ctx context.Context, program, binary string, args ...string) (started bool, err error) {
	if p, err := c.Process(program); err != nil || p.Alive() {
		return false, err
	}
	log, err := openLog(c.LogFile(program))
	if err != nil {
		return false, err
	}
	defer log.Close()
	inside := c.InsideBinary(binary)
	// The process's number in the cell comes back on standard output; as a
	// background child of a shell that ends, it becomes a child of the holder.
	script := `setsid "$@" </dev/null >&3 2>&3 3>&- & echo $!`
	cmd, err := c.command(ctx, filepath.Dir(inside), append([]string{"/bin/sh", "-c", script, "sh", inside}, args...)...)
	if err != nil {
		return false, err
	}
	keepOwnFiles()
	cmd.ExtraFiles = []*os.File{log}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return false, fmt.Errorf("start %s in %s: %w: %s", program, c.Name, Interrupted(ctx, err), strings.TrimSpace(stderr.String()))
	}
	inner, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return false, fmt.Errorf("start %s in %s: its number: %w", program, c.Name, err)
	}
	pid, err := c.HostPID(inner)
	if err != nil {
		return false, fmt.Errorf("start %s in %s: %w, see %s", program, c.Name, err, c.LogFile(program))
	}
	p, err := Identify(pid)
	if err != nil {
		return false, fmt.Errorf("%s in %s ended at once, see %s", program, c.Name, c.LogFile(program))
	}
	return true, atomicfile.WriteJSON(c.processFile(program), p)
}

// Process returns the process of a program; the zero Process if it was never
// started.
func (c Cell) Process(program string) (Process, error) {
	var p Process
	return p, atomicfile.ReadJSON(c.processFile(program), &p)
}

// Stop sends sig to a program and waits until it has ended.
func (c Cell) Stop(ctx context.Context, program string, sig unix.Signal) error {
	p, err := c.Process(program)
	if err != nil {
		return err
	}
	if err := p.Signal(ctx, sig, true); err != nil {
		return fmt.Errorf("stop %s in %s: %w", program, c.Name, err)
	}
	return nil
}

// HostPID translates a process number of the cell to the machine's.
func (c Cell) HostPID(inner int) (int, error) {
	h, err := c.Holder()
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

// cellEnv is the environment of what runs in a cell, with a folder that comes first
// in PATH. Of this process's it has how Go's garbage collector is set, if it is.
func cellEnv(path string) []string {
	const system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if path != "" {
		path += ":"
	}
	env := []string{"PATH=" + path + system, "HOME=/root", "LANG=C.UTF-8"}
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// Interrupted returns the error of a command, or ctx.Err() if ctx ended the
// command: the command's own error only says that it was killed.
func Interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
