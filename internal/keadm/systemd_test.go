package keadm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnit looks for what would break the kubelet that edgecore starts.
func TestUnit(t *testing.T) {
	text, err := unit("/usr/local/bin/edgecore", "/etc/kubeedge/config/edgecore.yaml")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		case !ok || section == "":
			t.Errorf("%q is no setting", line)
		default:
			keys[section+key] = value
		}
	}
	for key, want := range map[string]string{
		"[Service]ExecStart":          "/usr/local/bin/edgecore --config /etc/kubeedge/config/edgecore.yaml",
		"[Service]Restart":            "always",
		"[Service]RestartSec":         "1",
		"[Service]KillMode":           "mixed",
		"[Unit]StartLimitIntervalSec": "0",
		"[Install]WantedBy":           "multi-user.target",
	} {
		if keys[key] != want {
			t.Errorf("%s is %q, want %q", key, keys[key], want)
		}
	}
	if strings.Contains(keys["[Unit]After"]+keys["[Unit]Wants"], "network-online") {
		t.Error("without a network the node would start minutes later")
	}
	// What systemd.exec(5) says makes a mount namespace, where the kubelet would
	// mount volumes for itself alone; and what would keep it from its work.
	for _, bad := range []string{
		"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateNetwork", "PrivateUsers", "ProtectKernelTunables",
		"ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectHostname", "ReadOnlyPaths", "InaccessiblePaths", "ReadWritePaths", "BindPaths",
		"TemporaryFileSystem", "RootDirectory", "MountFlags", "DynamicUser", "User", "NoNewPrivileges", "RestrictNamespaces", "RestrictSUIDSGID", "SystemCallFilter",
	} {
		if v, ok := keys["[Service]"+bad]; ok {
			t.Errorf("%s=%s", bad, v)
		}
	}
	if _, err := unit("/opt/my programs/edgecore", "/etc/e.yaml"); err == nil || !strings.Contains(err.Error(), "my programs") {
		t.Errorf("a path with a space: %v", err)
	}
}

// TestUnitIsSystemds has systemd read the unit.
func TestUnitIsSystemds(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("skipped: systemd-analyze is not on this machine")
	}
	text, err := unit("/bin/true", "/etc/kubeedge/config/edgecore.yaml")
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), unitName)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", "--recursive-errors=no", file)
		cmd.Env = append(os.Environ(), "SYSTEMD_LOG_LEVEL=warning", "SYSTEMD_PAGER=")
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Skipf("skipped: systemd-analyze cannot run here: %v", err)
		}
		return string(out)
	}
	if out := verify(string(text)); strings.Contains(out, unitName) {
		t.Errorf("systemd says:\n%s", out)
	}
	if out := verify(strings.Replace(string(text), "RestartSec=", "RestartSecs=", 1)); !strings.Contains(out, "RestartSecs") {
		t.Errorf("systemd does not find a fault: %s", out)
	}
}
