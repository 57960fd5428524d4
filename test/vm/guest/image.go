package guest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/akri-go/akri/test/vm/wire"
)

const (
	module      = "github.com/akri-go/akri/"
	initPackage = "test/vm/init"
)

// makeImage writes the initramfs of a guest, and returns its path.
func makeImage(t testing.TB, k kernel, o Options) string {
	t.Helper()
	loaded, available, err := k.modules.choose(o.Modules, o.Available)
	if err != nil {
		t.Fatal(err)
	}
	files := []file{
		{name: "dev/console", mode: unix.S_IFCHR | 0o600, major: 5, minor: 1},
		{name: strings.TrimPrefix(wire.ModulesFile, "/"), mode: unix.S_IFREG | 0o644, data: []byte(strings.Join(loaded, "\n"))},
	}
	for _, dir := range o.Folders {
		files = append(files, folder(strings.TrimPrefix(dir, "/")))
	}
	for _, name := range available {
		data, err := os.ReadFile(k.modules.files[name])
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name: strings.TrimPrefix(modulePath(name), "/"), mode: unix.S_IFREG | 0o644, data: data})
	}
	for name, path := range o.Files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name: strings.TrimPrefix(name, "/"), mode: unix.S_IFREG | uint32(info.Mode().Perm()), data: data})
	}
	for name, built := range Build(t, append(slices.Clone(o.Programs), initPackage)...) {
		data, err := os.ReadFile(built)
		if err != nil {
			t.Fatal(err)
		}
		if name == path.Base(initPackage) {
			files = append(files, program("init", data))
			continue
		}
		files = append(files, program("bin/"+name, data))
	}
	image := filepath.Join(t.TempDir(), "initramfs")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeArchive(f, complete(files)), f.Close()); err != nil {
		t.Fatal(err)
	}
	return image
}

func modulePath(name string) string { return "/lib/modules/" + name + ".ko" }

// choose returns the lines of [wire.ModulesFile] for modules that are given as
// "name parameter…", and the names of all modules that are needed for these and
// for others that are only to be at hand.
func (m *modules) choose(load, atHand []string) (lines, all []string, err error) {
	parameters := map[string]string{}
	var names []string
	for _, l := range load {
		name, rest, _ := strings.Cut(l, " ")
		names = append(names, name)
		parameters[name] = rest
	}
	order, err := m.inOrder(names)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range order {
		lines = append(lines, strings.TrimSpace(modulePath(name)+" "+parameters[name]))
	}
	all, err = m.inOrder(append(names, atHand...))
	return lines, all, err
}

// Build builds programs of this repository for a guest, given by their folders, and
// returns the files by name.
func Build(t testing.TB, packages ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-trimpath", "-tags", "grpcnotrace", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}
	built := map[string]string{}
	for _, p := range packages {
		args = append(args, module+p)
		built[path.Base(p)] = filepath.Join(dir, path.Base(p))
	}
	if len(built) != len(packages) {
		t.Fatalf("two of %v have one name", packages)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("build %v: %v\n%s", slices.Sorted(maps.Keys(built)), err, said.String())
	}
	return built
}

// keep writes the console of a guest into out/logs of this repository, and returns
// the file.
func keep(name, console string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	file := filepath.Join(strings.TrimSpace(string(out)), "out", "logs", "vm", strings.ReplaceAll(name, "/", "-")+".console")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(console), 0o644)
}
