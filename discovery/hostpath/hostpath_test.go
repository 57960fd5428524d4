package hostpath

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/akri-go/akri/discovery"
)

// node is what an agent sees of a node: its /dev, and a folder of the operator's.
func node() fstest.MapFS {
	device := &fstest.MapFile{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o660}
	disk := &fstest.MapFile{Mode: fs.ModeDevice | 0o660}
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte(to)}
	}
	return fstest.MapFS{
		"dev/video0": device, "dev/ttyUSB0": device, "dev/bus/usb/001/002": device, "dev/sda": disk, "dev/null": device, "dev/pts/0": device,
		"dev/fd": link("/proc/self/fd"), "dev/stdin": link("/proc/self/fd/0"), "dev/core": link("/proc/kcore"),
		"dev/log": link("/run/systemd/journal/dev-log"), "dev/shm/file": {}, "dev/notes": {},
		"dev/serial/by-id/stick": link("../../ttyUSB0"), "dev/char/81:0": link("../video0"), "dev/camera": link("/dev/video0"), "dev/twice": link("camera"),
		"dev/gone": link("video9"), "dev/loop-a": link("loop-b"), "dev/loop-b": link("loop-a"),
		"dev/to-etc": link("/etc/shadow"), "dev/to-opt": link("/opt/x"), "dev/to-proc": link("../proc/1/root/dev/sda"), "dev/to-shm": link("shm/file"),
		"dev/up": link("../../../dev/video0"), "dev/to-dev": link("."), "dev/to-usb": link("bus/usb"), "dev/to-root": link("/"), "dev/mine": link("shm"),
		"srv/x/lib/a": {}, "srv/x/out": link("../../etc"), "srv/x/in": link("lib"), "srv/x/proc": link("/proc/self/fd/7"),
	}
}

func rulesFor(t *testing.T, o Options) *Rules {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.node = node()
	return r
}

// judged is what becomes of a path: when it is reported, and when a container is
// to get it.
type judged struct {
	path    string
	check   string // part of the reason; "" if it is good
	resolve string // the path that is handed out, or part of the reason after "!"
}

func (j judged) is(t *testing.T, check error, resolved string, resolve error) {
	t.Helper()
	if (check == nil) != (j.check == "") || check != nil && !strings.Contains(check.Error(), j.check) {
		t.Errorf("%s: check says %v, want %q", j.path, check, j.check)
	}
	if why, refused := strings.CutPrefix(j.resolve, "!"); refused {
		if resolve == nil || !strings.Contains(resolve.Error(), why) {
			t.Errorf("%s: resolve says %v (%s), want %q", j.path, resolve, resolved, why)
		}
	} else if resolve != nil || resolved != j.resolve {
		t.Errorf("%s: resolve says %v, %q, want %q", j.path, resolve, resolved, j.resolve)
	}
}

func deviceNode(host, container, permissions string) discovery.Device {
	return discovery.Device{ID: "a", DeviceSpecs: []discovery.DeviceSpec{{HostPath: host, ContainerPath: container, Permissions: permissions}}}
}

func mount(host, container string) discovery.Device {
	return discovery.Device{ID: "a", Mounts: []discovery.Mount{{HostPath: host, ContainerPath: container}}}
}

func TestDeviceNodes(t *testing.T) {
	const own, none = "differs between processes", "is not a device node"
	for _, test := range []judged{
		{"/dev/video0", "", "/dev/video0"},
		{"/dev//bus/./usb/001/002", "", "/dev/bus/usb/001/002"},
		{"/dev/sda", "", "/dev/sda"},
		{"/dev/serial/by-id/stick", "", "/dev/ttyUSB0"},
		{"/dev/char/81:0", "", "/dev/video0"},
		{"/dev/twice", "", "/dev/video0"},
		{"/dev/up", "", "/dev/video0"},
		// What is not there yet may come; nobody gets it before.
		{"/dev/video7", "", "!is not there"},
		{"/dev/gone", "", "!is not there"},
		{"/dev/bus/usb/009/001", "", "!is not there"},

		{"/dev", "is a folder", "!is a folder"},
		{"/dev/bus/usb", none, "!" + none},
		{"/dev/notes", none, "!" + none},
		{"/dev/to-usb", none, "!" + none},
		{"/dev/to-dev", none, "!" + none},
		{"/dev/to-root", "root folder", "!root folder"},
		{"/dev/fd/12", own, "!" + own},
		{"/dev/fd", own, "!" + own},
		{"/dev/stdin", own, "!" + own},
		{"/dev/core", own, "!" + own},
		{"/dev/to-proc", own, "!" + own},
		{"/proc/1/root/dev/sda", own, "!" + own},
		{"/dev/pts/0", "must be named", "!must be named"},
		{"/dev/shm/file", "must be named", "!must be named"},
		{"/dev/mqueue/x", "must be named", "!must be named"},
		{"/dev/hugepages/x", "must be named", "!must be named"},
		{"/dev/log", "must be named", "!must be named"},
		{"/dev/to-shm", "leads elsewhere", "!leads elsewhere"},
		{"/dev/to-etc", "leads elsewhere", "!leads elsewhere"},
		{"/dev/to-opt", "leads elsewhere", "!leads elsewhere"},
		{"/dev/loop-a", "too many links", "!too many links"},
		{"/devices/x", "not in an allowed folder", "!not in an allowed folder"},
		{"/sys/devices/x", "not in an allowed folder", "!not in an allowed folder"},
		{"/dev/../etc/shadow", `".."`, `!".."`},
		{"dev/x", "not absolute", "!not absolute"},
		{"/", "root folder", "!root folder"},
		{"/dev/a\nb", "control characters", "!control characters"},
		{"/dev/" + strings.Repeat("a", 5000), "5005 bytes", "!5005 bytes"},
	} {
		r := rulesFor(t, Options{})
		d := deviceNode(test.path, "/dev/there", "rw")
		_, check := r.Check(d)
		resolved, resolve := r.Resolve(d)
		test.is(t, check, resolved.DeviceSpecs[0].HostPath, resolve)
	}
	// The operator's list is for folders that hold devices, not for these.
	r := rulesFor(t, Options{Devices: []string{"/"}})
	for _, path := range []string{"/dev/shm/file", "/dev/fd/3", "/proc/1/fd/3", "/dev/to-shm", "/dev/pts/0"} {
		if _, err := r.Check(deviceNode(path, "/dev/x", "r")); err == nil {
			t.Errorf("%s was taken", path)
		}
	}
	if _, err := rulesFor(t, Options{Devices: []string{"/dev/bus/usb"}}).Check(deviceNode("/dev/video0", "/dev/x", "r")); err == nil {
		t.Error("/dev/video0 was taken, but /dev/bus/usb alone is allowed")
	}
}

func TestMounts(t *testing.T) {
	for _, test := range []struct {
		allowed string
		judged
	}{
		{"", judged{"/run/udev", "agent.allowedMounts", "!there is none"}},
		{"", judged{"/dev/fd/12", "differs between processes", "!differs between processes"}},
		{"", judged{"/dev/shm", "agent.allowedMounts", "!there is none"}},
		{"/srv/x", judged{"/srv/x", "", "/srv/x"}},
		{"/srv/x", judged{"/srv/x/lib/a", "", "/srv/x/lib/a"}},
		{"/srv/x", judged{"/srv/x/in/a", "", "/srv/x/lib/a"}},
		{"/srv/x", judged{"/srv/x/later", "", "!is not there"}},
		{"/srv/x", judged{"/srv/x/out", "leads elsewhere", "!leads elsewhere"}},
		{"/srv/x", judged{"/srv/x/out/shadow", "leads elsewhere", "!leads elsewhere"}},
		{"/srv/x", judged{"/srv/x/proc", "differs between processes", "!differs between processes"}},
		{"/srv/x", judged{"/srv/xy", "not in an allowed folder", "!not in an allowed folder"}},
		// Not seen: the operator's word counts.
		{"/opt/x", judged{"/opt/x/y", "", "/opt/x/y"}},
		// A part of /dev that is no device must be named itself.
		{"/dev", judged{"/dev/bus", "", "/dev/bus"}},
		{"/dev", judged{"/dev/shm", "must be named", "!must be named"}},
		{"/dev", judged{"/dev/mine/file", "leads elsewhere", "!leads elsewhere"}},
		{"/dev", judged{"/dev/to-opt", "leads elsewhere", "!leads elsewhere"}},
		{"/dev", judged{"/dev/to-root", "root folder", "!root folder"}},
		{"/dev/shm", judged{"/dev/shm/file", "", "/dev/shm/file"}},
		{"/", judged{"/srv/x/out", "", "/etc"}},
		{"/", judged{"/dev/to-root", "root folder", "!root folder"}},
		{"/", judged{"/dev/shm", "must be named", "!must be named"}},
		{"/", judged{"/proc/1/root", "differs between processes", "!differs between processes"}},
		{"/", judged{"/dev/fd/12", "differs between processes", "!differs between processes"}},
	} {
		o := Options{}
		if test.allowed != "" {
			o.Mounts = []string{test.allowed}
		}
		r := rulesFor(t, o)
		d := mount(test.path, "/data")
		_, check := r.Check(d)
		resolved, resolve := r.Resolve(d)
		test.is(t, check, resolved.Mounts[0].HostPath, resolve)
	}
	for _, path := range []string{"/proc", "/proc/1", "/dev/fd", "/dev/stdin/", "dev"} {
		if _, err := New(Options{Mounts: []string{path}}); err == nil {
			t.Errorf("%s could be allowed", path)
		}
	}
}

// What every container has of its own stays in sight.
func TestContainerPaths(t *testing.T) {
	r := rulesFor(t, Options{Mounts: []string{"/srv"}})
	for _, test := range []struct{ path, node, mount string }{
		{"/dev/video0", "", ""},
		{"/dev/snd/seq", "", ""},
		{"/dev/nullx", "", ""},
		{"/data", "", ""},
		{"/run/udev", "", ""},
		{"/var/lib/x", "", ""},
		{"/etcetera", "", ""},
		{"/proc", "/proc", "/proc"},
		{"/proc/sys/kernel/core_pattern", "/proc", "/proc"},
		{"/sys/fs", "/sys", "/sys"},
		{"/etc", "/etc", "/etc"},
		{"/etc/ld.so.preload", "/etc", "/etc"},
		{"/usr/bin/x", "/usr", "/usr"},
		{"/lib", "/lib", "/lib"},
		{"/lib64/ld.so", "/lib64", "/lib64"},
		{"/bin/sh", "/bin", "/bin"},
		{"/sbin", "/sbin", "/sbin"},
		{"/var", "/var/run", "/var/run"},
		{"/var/run/secrets/kubernetes.io/serviceaccount", "/var/run", "/var/run"},
		{"/run", "/run/secrets", "/run/secrets"},
		{"/run/secrets/x", "/run/secrets", "/run/secrets"},
		{"/", "root folder", "root folder"},
		{"x", "not absolute", "not absolute"},
		{"/a/../..", `".."`, `".."`},
		{"/dev", "/dev", "/dev"},
		{"/dev/null", "/dev/null", "/dev/null"},
		{"/dev/urandom", "/dev/urandom", "/dev/urandom"},
		{"/dev/pts/0", "/dev/pts", "/dev/pts"},
		{"/dev/shm", "/dev/shm", "/dev/shm"},
	} {
		says := func(what string, err error, want string) {
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s at %s: %v, want %q", what, test.path, err, want)
			}
		}
		_, err := r.Check(deviceNode("/dev/sda", test.path, "rw"))
		says("device node", err, test.node)
		_, err = r.Check(mount("/srv/x", test.path))
		says("mount", err, test.mount)
	}
	if _, err := r.Resolve(deviceNode("/dev/null", "/dev/null", "rw")); err != nil {
		t.Errorf("/dev/null as itself: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	r := rulesFor(t, Options{})
	for permissions, good := range map[string]bool{
		"rwm": true, "r": true, "mr": true, "": false, "rx": false, "rr": false, strings.Repeat("rwm", 1000): false,
	} {
		if _, err := r.Check(deviceNode("/dev/sda", "/dev/x", permissions)); (err == nil) != good {
			t.Errorf("permissions %.10q: %v", permissions, err)
		}
	}
}

func TestNothingOfTheCallersChanges(t *testing.T) {
	r := rulesFor(t, Options{Mounts: []string{"/srv"}})
	d := discovery.Device{
		Mounts:      []discovery.Mount{{HostPath: "/srv//x/in", ContainerPath: "/y/./z", ReadOnly: true}},
		DeviceSpecs: []discovery.DeviceSpec{{HostPath: "/dev/./camera", ContainerPath: "//dev/y", Permissions: "r"}},
	}
	checked, err := r.Check(d)
	want := discovery.Device{
		Mounts:      []discovery.Mount{{HostPath: "/srv/x/in", ContainerPath: "/y/z", ReadOnly: true}},
		DeviceSpecs: []discovery.DeviceSpec{{HostPath: "/dev/camera", ContainerPath: "/dev/y", Permissions: "r"}},
	}
	if err != nil || !discovery.Same([]discovery.Device{checked}, []discovery.Device{want}) {
		t.Errorf("checked: %+v, %v", checked, err)
	}
	want.Mounts[0].HostPath, want.DeviceSpecs[0].HostPath = "/srv/x/lib", "/dev/video0"
	resolved, err := r.Resolve(checked)
	if err != nil || !discovery.Same([]discovery.Device{resolved}, []discovery.Device{want}) {
		t.Errorf("resolved: %+v, %v", resolved, err)
	}
	if d.Mounts[0].HostPath != "/srv//x/in" || checked.DeviceSpecs[0].HostPath != "/dev/camera" {
		t.Error("what was given was changed")
	}
}

// The same on this machine's /dev, and with links of a real file system.
func TestRealDevices(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Resolve(deviceNode("/dev/null", "/dev/x", "rw"))
	if err != nil || got.DeviceSpecs[0].HostPath != "/dev/null" {
		t.Errorf("/dev/null: %v, %v", got, err)
	}
	for path, want := range map[string]string{
		"/dev/null/x": "not a directory", "/dev/fd/0": "differs between processes", "/dev/shm": "must be named", "/dev/nosuchthing": "is not there",
	} {
		if _, err := r.Resolve(deviceNode(path, "/dev/x", "rw")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}

	root := t.TempDir()
	for _, dir := range []string{"dev", "proc/self/fd"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"null": "/dev/null", "fd7": "/proc/self/fd", "out": "../../../../../../../../dev/null"} {
		if err := os.Symlink(target, filepath.Join(root, "dev", name)); err != nil {
			t.Fatal(err)
		}
	}
	// Links are the node's: none leads out of what is seen of it.
	if r, err = New(Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/dev/null": "too many links", "/dev/out": "too many links", "/dev/fd7/0": "differs between processes",
	} {
		if _, err := r.Resolve(deviceNode(path, "/dev/x", "rw")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if r, err = New(Options{Root: filepath.Join(root, "nowhere")}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Check(deviceNode("/dev/null", "/dev/x", "rw")); err != nil {
		t.Errorf("not seen, reported: %v", err)
	}
	if _, err := r.Resolve(deviceNode("/dev/null", "/dev/x", "rw")); err == nil || !strings.Contains(err.Error(), "--host-root") {
		t.Errorf("not seen, to be given: %v", err)
	}
}
