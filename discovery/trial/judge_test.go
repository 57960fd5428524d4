package trial

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
)

func listOf(names ...string) []discovery.Device {
	all := []discovery.Device{}
	for _, n := range names {
		all = append(all, discovery.Device{ID: n, Properties: map[string]string{"NAME": n}})
	}
	return all
}

// told is the answer after lists with these ids, words with spaces between.
func told(lists ...string) answer {
	var a answer
	for _, l := range lists {
		a = a.with(list{devices: listOf(strings.Fields(l)...), after: time.Millisecond})
	}
	return a
}

func (a answer) end(code codes.Code, said string) answer {
	a.ended, a.code, a.said = true, code, said
	return a
}

func TestAnswer(t *testing.T) {
	for _, test := range []struct {
		name              string
		a                 answer
		lists, same       int
		lost, twice, last string
	}{
		{"nothing", told(), 0, 0, "", "", ""},
		{"an empty list", told(""), 1, 0, "", "", ""},
		{"one comes", told("a", "a b"), 2, 0, "", "", `"a", "b"`},
		{"one goes", told("a b", "a"), 2, 0, `"b"`, "", `"a"`},
		{"parts", told("a", "b", "c"), 3, 0, `"a", "b"`, "", `"c"`},
		{"the same, in another order", told("a b", "b a", "a b"), 3, 2, "", "", `"a", "b"`},
		{"twice", told("a b a"), 1, 0, "", `"a"`, `"a", "b"`},
		{"many go", told("a b c d e f g h", ""), 2, 0, `"a", "b", "c", "d", "e", 3 more`, "", ""},
	} {
		if test.a.lists != test.lists || test.a.same != test.same || named(test.a.lost) != test.lost ||
			named(test.a.twice) != test.twice || named(ids(test.a.devices)) != test.last {
			t.Errorf("%s: %+v", test.name, test.a)
		}
	}
	before := told("a", "")
	if after := before.with(list{devices: listOf("b")}).with(list{}); named(before.lost) != `"a"` || named(after.lost) != `"a", "b"` {
		t.Errorf("%v, %v", before.lost, after.lost)
	}
	a := answer{}
	for range maxLists + 1 {
		a = a.with(list{})
	}
	if !a.flood {
		t.Error("a flood is not one")
	}
}

// judged is a finding, and what it must be.
type judged struct {
	name  string
	f     Finding
	level Level
	got   string // part of what came or of the remedy
}

func judge(t *testing.T, tests []judged) {
	t.Helper()
	for _, test := range tests {
		if test.f.Level != test.level || !strings.Contains(test.f.Got+"\n"+test.f.Change, test.got) {
			t.Errorf("%s: %v; want a %s with %q", test.name, test.f, test.level, test.got)
		}
		bad := test.f.Level == Warning || test.f.Level == Failure
		if bad != (test.f.Change != "") || test.f.Wants == "" || test.f.Got == "" {
			t.Errorf("%s: incomplete: %+v", test.name, test.f)
		}
	}
}

func TestJudgeRegistrations(t *testing.T) {
	yes, no := true, false
	good := func() *pb.RegisterDiscoveryHandlerRequest {
		return &pb.RegisterDiscoveryHandlerRequest{Name: "a", Endpoint: "/d/a.sock"}
	}
	with := func(change func(*pb.RegisterDiscoveryHandlerRequest)) *pb.RegisterDiscoveryHandlerRequest {
		m := good()
		change(m)
		return m
	}
	network := with(func(m *pb.RegisterDiscoveryHandlerRequest) {
		m.EndpointType, m.Endpoint = pb.RegisterDiscoveryHandlerRequest_NETWORK, "http://10.0.0.1:10000"
	})
	want := expected{dir: "/d"}
	reg := func(change func(*pb.RegisterDiscoveryHandlerRequest)) Finding {
		return judgeRegistration(with(change), want)
	}
	judge(t, []judged{
		{"good", judgeRegistration(good(), want), Pass, `"a", local devices, UDS "/d/a.sock"`},
		{"over the network", judgeRegistration(network, want), Pass, "NETWORK"},
		{"no name", reg(func(m *pb.RegisterDiscoveryHandlerRequest) { m.Name = "" }), Failure, "Send the name"},
		{"a name of two lines", reg(func(m *pb.RegisterDiscoveryHandlerRequest) { m.Name = "a\nb" }), Failure, "253 printable"},
		{"an unusual name", reg(func(m *pb.RegisterDiscoveryHandlerRequest) { m.Name = "my handler" }), Warning, "letters, digits"},
		{"another name", judgeRegistration(good(), expected{name: "b", dir: "/d"}), Failure, `Register as "b"`},
		{"shared", judgeRegistration(good(), expected{shared: &yes, dir: "/d"}), Failure, "shared"},
		{"local", judgeRegistration(good(), expected{shared: &no, dir: "/d"}), Pass, "local"},
		{"another folder", judgeRegistration(good(), expected{dir: "/e"}), Failure, "must be in /e"},
		{"a URL for a socket", reg(func(m *pb.RegisterDiscoveryHandlerRequest) { m.Endpoint = "unix:///d/a.sock" }), Failure, "absolute path"},
		{"the type of the other", reg(func(m *pb.RegisterDiscoveryHandlerRequest) { m.EndpointType = 1 }), Failure, "http://<host>:<port>"},

		{"ended before the agent", judgeStart("with exit status 1", false, 0), Failure, "exit status 1"},
		{"no registration", judgeStart("", false, time.Minute), Failure, "DISCOVERY_HANDLERS_DIRECTORY"},
		{"late but there", judgeStart("", true, 10*time.Second), Pass, "10s"},

		{"again", judgeAgain(agentRestart, "did", good(), good(), time.Second, true, "x"), Pass, "1s"},
		{"not again", judgeAgain(agentRestart, "did", good(), nil, time.Second, true, "remedy"), Failure, "remedy"},
		{"not again, as upstream", judgeAgain(agentRestartIdle, "did", good(), nil, time.Second, false, "remedy"), Warning, "remedy"},
		{"elsewhere", judgeAgain(agentRestart, "did", good(), network, time.Second, false, "x"), Failure, "keeps both"},
		{"for the first time", judgeAgain(droppedCall, "did", nil, good(), time.Second, false, "x"), Pass, ""},
	})
}

func TestJudgeProcesses(t *testing.T) {
	judge(t, []judged{
		{"socket", judgeSocket("/d/a.sock", fs.ModeSocket|0o660, nil), Pass, "0660"},
		{"socket for all", judgeSocket("/d/a.sock", fs.ModeSocket|0o777, nil), Warning, "0777"},
		{"link", judgeSocket("/d/a.sock", fs.ModeSymlink|0o777, nil), Failure, "symbolic link"},
		{"nobody", judgeSocket("/d/a.sock", 0, errors.New("connection refused")), Failure, "connection refused"},
		{"address", judgeSocket("http://a:1", 0, nil), Pass, "neither encrypted"},

		{"nothing left", judgeUsage(40, usage{9, 7}, usage{10, 9}, true, 0), Pass, "files 9 and then 10"},
		{"not known", judgeUsage(40, usage{}, usage{}, true, 0), Pass, "answered"},
		{"files left", judgeUsage(40, usage{9, 7}, usage{49, 7}, true, 0), Warning, "9 files open before, and 49 after"},
		{"threads left", judgeUsage(40, usage{9, 7}, usage{9, 47}, true, 0), Warning, "47 after"},
		{"no answer", judgeUsage(40, usage{9, 7}, usage{9, 47}, false, time.Second), Failure, "busy for ever"},

		{"registers all the time", *judgeRegistrations(400, 100, time.Minute), Warning, "400 within 1m0s, in which 100 calls"},
		{"ends", judgeEnd(true, "with exit status 0", time.Second, ""), Pass, "exit status 0"},
		{"does not end", judgeEnd(false, "", 10*time.Second, ""), Warning, "Handle SIGTERM"},
	})
}

func TestJudgeAnswers(t *testing.T) {
	other := listOf("a", "b")
	other[1].Properties["NAME"] = "c"
	tooBig := answer{}.end(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)")
	whole := func(all ...answer) Finding { return judgeWhole(all) }
	judge(t, []judged{
		{"first", judgeFirst(told("a"), true, 0), Pass, "1 device after 1ms"},
		{"first and empty", judgeFirst(told(""), false, 0), Pass, "0 devices"},
		{"silent", judgeFirst(answer{}, false, time.Minute), Warning, "upstream"},
		{"silent though there are some", judgeFirst(answer{}, true, time.Minute), Failure, "nothing within"},
		{"too large", judgeFirst(tooBig, true, 0), Failure, "4 MiB"},
		{"refused", judgeFirst(answer{}.end(codes.InvalidArgument, "no"), true, 0), Failure, "refused the details: no"},
		{"another service", judgeFirst(answer{}.end(codes.Unimplemented, "unknown"), true, 0), Failure, "must be v0"},
		{"ended", judgeFirst(answer{}.end(codes.OK, ""), true, 0), Failure, "OK without a text"},
		{"too many", judgeFirst(answer{}.with(list{refused: "20000 devices"}), true, 0), Failure, "20000"},

		{"once", judgeOnce(told("a b")), Pass, "2 ids"},
		{"twice", judgeOnce(told("a b a")), Failure, `"a"`},
		{"none", judgeOnce(told("")), Skipped, "no device"},

		{"the same", judgeSame(listOf("a", "b"), listOf("b", "a")), Pass, "2 devices"},
		{"no devices", judgeSame(nil, nil), Skipped, "no device"},
		{"other ids", judgeSame(listOf("a", "b"), listOf("c", "d")), Failure, "serial number"},
		{"some others", judgeSame(listOf("a", "b"), listOf("a", "c")), Failure, `"b" only in the first, "c" only in the second`},
		{"other properties", judgeSame(listOf("a", "b"), other), Warning, `"b"`},

		{"whole", whole(told("a b"), told("a b", "a b c"), told("a b")), Pass, "4 lists"},
		{"a device goes in one", whole(told("a b", "a"), told("a"), told("a")), Warning, "went in 1"},
		{"in two of two", whole(told("a", "b"), told("a", "b")), Warning, "went in 2"},
		{"parts", whole(told("a", "b"), told("a", "b"), told("a", "b")), Failure, "the new ones or a part"},
		{"silent", whole(answer{}, answer{}), Skipped, "no list"},

		{"open", judgeOpen([]answer{told("a"), told("a", "b")}, time.Second), Pass, "open"},
		{"repeats", judgeOpen([]answer{told("a", "a", "a")}, time.Second), Warning, "2 of 3 lists"},
		{"floods", judgeOpen([]answer{{flood: true}}, 0), Failure, "1000"},
		{"ends", judgeOpen([]answer{told("a").end(codes.OK, "")}, 0), Failure, "after 1 list"},
		{"breaks", judgeOpen([]answer{told("a").end(codes.Internal, "x")}, 0), Failure, `Internal, "x"`},
		{"grows too large", judgeOpen([]answer{tooBig}, 0), Failure, "4 MiB"},
		{"lists too many later", judgeOpen([]answer{told("a").with(list{refused: "20000"})}, 0), Failure, "20000"},

		{"refused well", judgeBad("x", answer{}.end(codes.InvalidArgument, "write y"), true, 0), Pass, "write y"},
		{"refused without a word", judgeBad("x", answer{}.end(codes.InvalidArgument, " "), true, 0), Warning, "all that the author"},
		{"refused otherwise", judgeBad("x", answer{}.end(codes.Unknown, "y"), true, 0), Failure, "INVALID_ARGUMENT"},
		{"ended without an error", judgeBad("x", answer{}.end(codes.OK, ""), true, 0), Failure, "without an error"},
		{"taken", judgeBad("x", told("a"), true, 0), Failure, "1 device"},
		{"taken, perhaps rightly", judgeBad("x", told("a"), false, 0), Warning, "1 device"},
		{"no answer", judgeBad("x", answer{}, true, time.Second), Failure, "nothing within 1s"},

		{"nothing found", judgeNothing(told(""), 0), Pass, "an empty list"},
		{"nothing said", judgeNothing(answer{}, time.Second), Warning, "upstream"},
		{"something found", judgeNothing(told("a"), 0), Failure, `"a"`},
		{"ended for nothing", judgeNothing(answer{}.end(codes.OK, ""), 0), Failure, "not an end"},
	})
}

func TestJudgeCalls(t *testing.T) {
	both := set([]string{"a", "b"})
	judge(t, []judged{
		{"each its own", judgeAtOnce([]answer{told("a"), told("b")}, []answer{told("a"), told("b")}, 0), Pass, "its own"},
		{"one waits", judgeAtOnce([]answer{told("a"), told("b")}, []answer{told("a"), {}}, 0), Failure, "1 of them"},
		{"mixed up", judgeAtOnce([]answer{told("a"), told("b")}, []answer{told("a"), told("a b")}, 0), Failure, `"a", "b", and alone "b"`},
		{"one ends", judgeAtOnce([]answer{told("a")}, []answer{told("a").end(codes.Aborted, "x")}, 0), Failure, "Aborted"},
		{"all silent, also alone", judgeAtOnce([]answer{{}}, []answer{{}}, 0), Pass, ""},

		{"all follow", judgeChange("x", both, []answer{told("a", "a b")}, told("a b"), true, 0), Pass, "2 devices"},
		{"only the new one", judgeChange("x", both, []answer{told("a", "b")}, told("a b"), true, 0), Failure, `"a" too few`},
		{"one does not go", judgeChange("x", set([]string{}), []answer{told("a")}, told(""), true, 0), Failure, `"a" too many`},
		{"as a fresh call", judgeChange("x", nil, []answer{told("a", "a b")}, told("a b"), true, 0), Pass, ""},
		{"not as a fresh call", judgeChange("x", nil, []answer{told("a", "b")}, told("a b"), true, 0), Failure, "too few"},
		{"no change", judgeChange("x", nil, []answer{told("a")}, told("a"), false, time.Second), Warning, "within 1s"},
	})
}

func TestJudgeDevices(t *testing.T) {
	of := func(d discovery.Device) Finding {
		return judgeDevices([]discovery.Device{{ID: "good"}, d}, contract.DefaultLimits(), "/nowhere")
	}
	node := func(host, container, permissions string) discovery.Device {
		return discovery.Device{ID: "a", DeviceSpecs: []discovery.DeviceSpec{{HostPath: host, ContainerPath: container, Permissions: permissions}}}
	}
	mount := func(host, container string) discovery.Device {
		return discovery.Device{ID: "a", Mounts: []discovery.Mount{{HostPath: host, ContainerPath: container}}}
	}
	judge(t, []judged{
		{"none", judgeDevices(nil, contract.DefaultLimits(), ""), Skipped, "no device"},
		{"plain", of(discovery.Device{ID: "a"}), Pass, ""},
		{"no id", of(discovery.Device{}), Failure, "no id"},
		{"an id of two lines", of(discovery.Device{ID: "a\nb"}), Failure, "control characters"},
		{"a property that is none", of(discovery.Device{ID: "a", Properties: map[string]string{"A B": ""}}), Failure, "environment variable"},
		{"a device node", of(node("/dev/video0", "/dev/video0", "rw")), Pass, ""},
		{"permissions", of(node("/dev/video0", "/dev/video0", "rwx")), Failure, "permissions"},
		{"what hides", of(node("/dev/video0", "/etc/x", "rw")), Failure, "/etc"},
		{"not in /dev", of(node("/srv/video0", "/x", "rw")), Warning, "agent.allowedHostPaths"},
		{"of a process", of(node("/proc/1/fd/3", "/x", "rw")), Failure, "differs between processes"},
		{"a mount", of(mount("/srv/data", "/data")), Warning, "agent.allowedMounts"},
		{"a relative mount", of(mount("srv", "/data")), Failure, "not absolute"},
		{"a mount of processes", of(mount("/proc/1/root", "/data")), Failure, "differs between processes"},
		{"too many mounts", of(discovery.Device{ID: "a", Mounts: make([]discovery.Mount, 65)}), Failure, "65 mounts"},
	})
}

func TestDecode(t *testing.T) {
	limits := contract.DefaultLimits()
	raw, err := proto.Marshal(&pb.DiscoverResponse{Devices: []*pb.Device{{Id: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	if l := decode(raw, limits); l.refused != "" || len(l.devices) != 1 || l.bytes != len(raw) {
		t.Errorf("%+v", l)
	}
	var large pb.DiscoverResponse
	for range 3000 {
		large.Devices = append(large.Devices, &pb.Device{Id: "a", Properties: map[string]string{"A": strings.Repeat("x", 4000)}})
	}
	tooLarge, err := proto.Marshal(&large)
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]string{
		"\x0a\x7f":                        "not a DiscoverResponse",
		"\x0a\x03\x0a\x01\xff":            "cannot be decoded",
		strings.Repeat("\x0a\x00", 2<<20): "2097152 devices",
		string(tooLarge):                  "of the agent's memory",
	} {
		if l := decode([]byte(raw), limits); !strings.Contains(l.refused, want) || l.devices != nil {
			t.Errorf("%.20q: %q, %d devices; want %q", raw, l.refused, len(l.devices), want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x0a\x03\x0a\x01a"))
	f.Add([]byte("\x0a\x00\x0a\x7f"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := decode(raw, contract.DefaultLimits())
		a := answer{}.with(l)
		for _, f := range []Finding{judgeFirst(a, false, 0), judgeDevices(a.devices, contract.DefaultLimits(), "/nowhere"), judgeOnce(a)} {
			if len(f.String()) > 16<<10 {
				t.Errorf("a text of %d bytes", len(f.String()))
			}
		}
	})
}

// A handler that registers after each dropped call, and now and then, may.
func TestRegistersOften(t *testing.T) {
	if f := judgeRegistrations(100, 90, 0); f != nil {
		t.Error(f)
	}
	if f := judgeRegistrations(120, 0, time.Minute); f != nil {
		t.Error(f)
	}
}
