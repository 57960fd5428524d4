package guest

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestDynamic(t *testing.T) {
	static, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dynamicNeeds(static); err != nil {
		t.Error(err)
	}
	const program = "/bin/ls"
	if _, err := os.Stat("/" + libraryFolder); err != nil || runtime.GOARCH != "amd64" {
		t.Skip("skipped: the rest is for a Debian of amd64")
	}
	files, err := Dynamic("/", program, "/bin/list")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Join(slices.Sorted(maps.Keys(files)), " ")
	if files["/bin/list"] != program || !strings.Contains(names, "/lib64/ld-linux-x86-64.so.2") || !strings.Contains(names, "/lib/x86_64-linux-gnu/libc.so.6") {
		t.Errorf("got %v", files)
	}
	if _, err := Dynamic(t.TempDir(), program, program); err == nil {
		t.Error("it finds libraries in an empty folder")
	}
}
