package guest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/akri-go/akri/internal/peers"
)

const (
	qemuProgram = "qemu-system-x86_64"
	qemuPackage = "qemu-system-x86"
	// kernelPackage stands for Debian's current kernel, whose package has its version
	// in its name.
	kernelPackage       = "linux-image-amd64"
	kernelPackagePrefix = "linux-image-"
)

// kernel is one that is unpacked.
type kernel struct {
	image   string
	modules *modules
}

// fetch gets QEMU, which is installed if it is missing, and a kernel, which is
// kept in the cache. The test is skipped where they cannot be had.
func fetch(t testing.TB) kernel {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skipf("skipped: the guest is a machine of amd64, and this is one of %s", runtime.GOARCH)
	}
	if _, err := exec.LookPath(qemuProgram); err != nil {
		peers.Install(t, qemuPackage)
	}
	name := peers.Dependency(t, kernelPackage, kernelPackagePrefix)
	if name == "" {
		t.Skipf("skipped: apt-get knows no package %s on this machine, which is Debian's kernel", kernelPackage)
	}
	k, err := unpacked(peers.Unpack(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// unpacked finds the kernel in a folder with the files of its package.
func unpacked(dir string) (kernel, error) {
	image, err := only(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil {
		return kernel{}, err
	}
	tree, err := only(filepath.Join(dir, "lib", "modules", "*"))
	if err != nil {
		return kernel{}, err
	}
	m, err := findModules(tree)
	return kernel{image: image, modules: m}, err
}

// only returns the only file that matches a pattern.
func only(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("there are %d files %s, want one: remove the folder, and the package is fetched again", len(found), pattern)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}
