package keadm

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// unitName is edgecore's unit.
const unitName = "edgecore.service"

//go:embed edgecore.service
var unitTemplate string

// unit is the text of edgecore's unit.
func unit(edgecore, config string) ([]byte, error) {
	for _, path := range []string{edgecore, config} {
		if strings.ContainsAny(path, " \t\n\"'\\%$") {
			return nil, fmt.Errorf("the path %q cannot be in a systemd unit: choose one without spaces, quotes, %% and $", path)
		}
	}
	t, err := template.New(unitName).Option("missingkey=error").Parse(unitTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]string{"Edgecore": edgecore, "Config": config})
	return b.Bytes(), err
}

// System is where things are on a machine.
type System struct {
	Programs string // where programs are installed
	Units    string // systemd's, of the administrator
	// Systemctl is the program, "" where systemd does not run.
	Systemctl string
}

// Here is this machine.
func Here() System {
	s := System{Programs: "/usr/local/bin", Units: "/etc/systemd/system"}
	if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		if path, err := exec.LookPath("systemctl"); err == nil {
			s.Systemctl = path
		}
	}
	return s
}

func (s System) unitFile() string { return filepath.Join(s.Units, unitName) }

// systemctl runs systemctl.
func (s System) systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, s.Systemctl, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
}

// is asks systemctl something about the unit; any failure is a no.
func (s System) is(ctx context.Context, question string) bool {
	return s.systemctl(ctx, question, "--quiet", unitName) == nil
}

// same tells whether a file has this content.
func same(path string, content []byte) bool {
	have, err := os.ReadFile(path)
	return err == nil && bytes.Equal(have, content)
}

// FindEdgecore returns where edgecore is: where the person says, beside this
// program, among the installed programs or in PATH. If it is nowhere it returns
// where it is looked for first.
func (s System) FindEdgecore(said string) string {
	if said != "" {
		return said
	}
	var places []string
	if self, err := os.Executable(); err == nil {
		places = append(places, filepath.Join(filepath.Dir(self), "edgecore"))
	}
	places = append(places, filepath.Join(s.Programs, "edgecore"))
	if path, err := exec.LookPath("edgecore"); err == nil {
		places = append(places, path)
	}
	for _, p := range places {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p
		}
	}
	return places[0]
}

// journal is the end of what the unit has logged, for a person.
func journal(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "journalctl", "--unit", unitName, "--lines", "15", "--no-pager", "--output", "cat").Output()
	if err != nil || len(out) == 0 {
		return "journalctl -u edgecore says why"
	}
	return "its last lines:\n" + strings.TrimSpace(string(out))
}
