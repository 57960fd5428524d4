package grant

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/agent/inventory"
)

func slotOf(hash string, index int, properties map[string]string, mounts []discovery.Mount, nodes []discovery.DeviceSpec) Slot {
	name := "cam-" + hash
	return Slot{ID: name, Index: index, Device: inventory.Device{
		Instance: types.NamespacedName{Name: name}, Configuration: "cam",
		Reported:         discovery.Device{Properties: properties, Mounts: mounts, DeviceSpecs: nodes},
		BrokerProperties: map[string]string{"RATE": "30"},
	}}
}

func TestOf(t *testing.T) {
	type env = map[string]string
	mount := func(container, host string, readOnly bool) []discovery.Mount {
		return []discovery.Mount{{ContainerPath: container, HostPath: host, ReadOnly: readOnly}}
	}
	node := func(container, host, permissions string) []discovery.DeviceSpec {
		return []discovery.DeviceSpec{{ContainerPath: container, HostPath: host, Permissions: permissions}}
	}
	tests := map[string]struct {
		slots []Slot
		want  Grant
		says  string
	}{
		"nothing": {want: Grant{Env: env{}}},
		"one; the Configuration's properties win": {
			slots: []Slot{slotOf("00000a", 0, env{"URL": "a", "RATE": "1"}, mount("/m", "/h", true), node("/dev/x", "/dev/y", "rw"))},
			want: Grant{
				Env:         env{"URL": "a", "URL_00000A": "a", "RATE": "30", "RATE_00000A": "30"},
				Mounts:      []discovery.Mount{{ContainerPath: "/m", HostPath: "/h", ReadOnly: true}},
				DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: "/dev/x", HostPath: "/dev/y", Permissions: "rw"}},
			},
		},
		"plain names are of the lowest slot": {
			slots: []Slot{
				slotOf("00000b", 0, env{"URL": "b", "ONLY": "b"}, nil, nil),
				slotOf("00000a", 10, env{"URL": "a"}, nil, nil), slotOf("00000a", 9, env{"URL": "a"}, nil, nil),
			},
			want: Grant{Env: env{
				"URL": "a", "URL_00000A": "a", "URL_00000B": "b", "ONLY": "b", "ONLY_00000B": "b",
				"RATE": "30", "RATE_00000A": "30", "RATE_00000B": "30",
			}},
		},
		"a property that looks like another's does not hide it": {
			slots: []Slot{
				slotOf("00000a", 0, env{"URL_00000B": "mine", "RATE": ""}, nil, nil),
				slotOf("00000b", 0, env{"URL": "b"}, nil, nil),
			},
			want: Grant{Env: env{
				"URL_00000B": "b", "URL_00000B_00000A": "mine", "URL": "b",
				"RATE": "30", "RATE_00000A": "30", "RATE_00000B": "30",
			}},
		},
		"no environment variables": {
			slots: []Slot{slotOf("00000a", 0, env{"": "x", "A=B": "x", "C\x00": "x", "D": "x\x00", "e.f-g": "ok\n"}, nil, nil)},
			want: Grant{Env: env{
				"e.f-g": "ok\n", "e.f-g_00000A": "ok\n", "RATE": "30", "RATE_00000A": "30",
			}},
		},
		"one path for both": {
			slots: []Slot{
				slotOf("00000a", 0, nil, mount("/m", "/h", true), node("/dev/x", "/dev/x", "r")),
				slotOf("00000b", 0, nil, mount("/m", "/h", false), node("/dev/x", "/dev/x", "mw")),
			},
			want: Grant{
				Env:         env{"RATE": "30", "RATE_00000A": "30", "RATE_00000B": "30"},
				Mounts:      []discovery.Mount{{ContainerPath: "/m", HostPath: "/h"}},
				DeviceSpecs: []discovery.DeviceSpec{{ContainerPath: "/dev/x", HostPath: "/dev/x", Permissions: "rwm"}},
			},
		},
		"two folders at one path": {
			slots: []Slot{slotOf("00000a", 0, nil, mount("/m", "/h1", true), nil), slotOf("00000b", 0, nil, mount("/m", "/h2", true), nil)},
			says:  "different folders, /h1 and /h2, mounted at /m",
		},
		"two device nodes at one path": {
			slots: []Slot{slotOf("00000a", 0, nil, nil, node("/dev/x", "/dev/1", "r")), slotOf("00000b", 0, nil, nil, node("/dev/x", "/dev/2", "r"))},
			says:  "different device nodes, /dev/1 and /dev/2, at /dev/x",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Of(test.slots)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("err = %v, want one that says %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, FromAllocateResponse(got.AllocateResponse())); diff != "" {
				t.Errorf("after a trip to the kubelet (-want +got):\n%s", diff)
			}
		})
	}
}
