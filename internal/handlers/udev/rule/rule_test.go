package rule

import (
	"strings"
	"testing"
)

// dev is a device made of plain values.
type dev struct {
	devpath, subsystem, driver string
	attrs, props               map[string]string
	tags                       []string
	unrecorded                 bool
	parent                     *dev
}

func (d *dev) Devpath() string   { return d.devpath }
func (d *dev) Kernel() string    { return d.devpath[strings.LastIndexByte(d.devpath, '/')+1:] }
func (d *dev) Subsystem() string { return d.subsystem }
func (d *dev) Driver() string    { return d.driver }
func (d *dev) Attr(name string) (string, bool) {
	v, ok := d.attrs[name]
	return v, ok
}
func (d *dev) Property(key string) (string, bool) {
	v, ok := d.props[key]
	return v, ok || !d.unrecorded
}
func (d *dev) Tags() ([]string, bool) { return d.tags, !d.unrecorded }
func (d *dev) Parent() (Device, bool) {
	if d.parent == nil {
		return nil, false
	}
	return d.parent, true
}

// camera is a webcam on a USB interface of a USB device behind a PCI host.
func camera() *dev {
	pci := &dev{devpath: "/devices/pci0000:00/0000:00:14.0", subsystem: "pci", driver: "xhci_hcd",
		attrs: map[string]string{"vendor": "0x8086", "class": "0x0c0330"}}
	usb := &dev{devpath: pci.devpath + "/usb1/1-2", subsystem: "usb", driver: "usb", parent: pci, tags: []string{"seat"},
		attrs: map[string]string{"idVendor": "046d", "idProduct": "0825", "product": "HD Webcam  ", "bMaxPower": "500mA"}}
	iface := &dev{devpath: usb.devpath + "/1-2:1.0", subsystem: "usb", driver: "uvcvideo", parent: usb,
		attrs: map[string]string{"bInterfaceClass": "0e"}}
	return &dev{devpath: iface.devpath + "/video4linux/video0", subsystem: "video4linux", parent: iface,
		attrs: map[string]string{"index": "0", "name": "HD Webcam: HD Webcam \t", "empty": "", "blank": " "},
		props: map[string]string{"ID_SERIAL": "046d_HD_Webcam", "ID_V4L_CAPABILITIES": ":capture:", "MAJOR": "81",
			"a name": "x y", "ODD": `a\x20b(é)`},
		tags: []string{"uaccess", "seat"},
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		rule string
		want bool
	}{
		// Shapes of upstream's accepted examples.
		{`SUBSYSTEM=="video4linux"`, true},
		{`SUBSYSTEM=="block"`, false},
		{`KERNEL=="video*", ENV{ID_SERIAL}=="?*"`, true},
		{`ENV{ID_SERIAL}=="?*", KERNEL=="vbi*|video*", DRIVER=="no such driver"`, false},
		{`TAG=="uaccess",ENV{MAJOR}!=""`, true},
		{`KERNEL=="video[0-9]", DEVPATH!="/devices/somewhere/else"`, true},
		{`ATTR{index}=="0", ENV{MAJOR}=="81"`, true},
		{`ATTR{index}=="0", ENV{a name}=="x y"`, true},
		{`KERNEL=="video[0-9]*", ENV{ID_V4L_CAPABILITIES}==":capture:"`, true},
		{`SUBSYSTEMS=="pci"`, true},
		{`ATTRS{idVendor}=="046d", DRIVERS!="a driver"`, true},
		{`TAGS=="seat"`, true},
		{`KERNELS=="1-[0-9]*"`, true},

		// All matches hold together.
		{`KERNEL=="video0", KERNEL=="video1"`, false},
		{`KERNEL=="video*", KERNEL!="video1"`, true},
		{`ENV{MAJOR}=="81", ENV{ID_SERIAL}=="other"`, false},
		{`TAG=="uaccess", TAG=="seat"`, true},
		{`TAG=="uaccess", TAG=="nope"`, false},

		// Matches of ancestors hold on one and the same.
		{`SUBSYSTEMS=="usb", ATTRS{idVendor}=="046d", ATTRS{idProduct}=="08*"`, true},
		{`SUBSYSTEMS=="pci", ATTRS{idVendor}=="046d"`, false},
		{`DRIVERS=="uvcvideo", SUBSYSTEMS=="usb"`, true},
		{`KERNELS=="1-2", DRIVERS=="uvcvideo"`, false},
		{`KERNELS=="video0", ATTRS{index}=="0"`, true}, // the device itself is included
		{`SUBSYSTEMS!="video4linux"`, true},            // some ancestor is of another
		{`ATTRS{idVendor}!="046d"`, false},             // nobody else has the attribute
		{`ATTRS{vendor}!="0x1022", SUBSYSTEMS=="pci"`, true},
		{`TAGS!="uaccess"`, true},
		{`SUBSYSTEM=="video4linux", SUBSYSTEMS=="video4linux", ATTRS{idVendor}=="*"`, false},

		// Patterns and alternatives.
		{`KERNEL=="audio0|video0"`, true},
		{`KERNEL=="audio0|radio0"`, false},
		{`KERNEL!="audio0|video0"`, false},
		{`KERNEL=="video[!1-9]"`, true},
		{`KERNEL=="video[^0]"`, false},
		{`KERNEL=="video[[:digit:]]"`, true},
		{`KERNEL=="video[\]0]"`, true},
		{`KERNEL=="video?"`, true},
		{`KERNEL=="video??"`, false},
		{`KERNEL=="VIDEO0"`, false},
		{`KERNEL==i"VIDEO0"`, true},
		{`KERNEL==i"VID*"`, true},
		{`DEVPATH=="/devices/*/video4linux/*"`, true}, // * crosses /
		{`DEVPATH=="*/1-2/*"`, true},
		{`DEVPATH=="/devices/pci0000:00"`, false},
		{`KERNEL=="\video0"`, false}, // no pattern: a backslash is one
		{`KERNEL=="\video*"`, true},  // pattern: it escapes
		{`ENV{ODD}=="a\x20b(é)"`, true},
		{`ENV{ODD}=="a\\x20*"`, true},
		{`ENV{ODD}==e"a\\x20b(\xc3\xa9)"`, true},
		{`ENV{ODD}==e"a\\x20b(\u00e9)"`, true},

		// What is missing.
		{`DRIVER==""`, true},
		{`DRIVER!="x"`, true},
		{`DRIVER=="*"`, true},
		{`DRIVER=="?*"`, false},
		{`ENV{NO}==""`, true},
		{`ENV{NO}!="x"`, true},
		{`ENV{NO}=="x|"`, true},
		{`ENV{NO}=="?*"`, false},
		{`ATTR{no}==""`, false},
		{`ATTR{no}!="x"`, false},
		{`ATTR{no}=="*"`, false},
		{`TAG!="no"`, true},
		{`TAG!="no|seat"`, false},
		{`TAG=="?*"`, true},
		{`TAG==""`, false},

		// White space at the end of attributes.
		{`ATTR{name}=="HD Webcam: HD Webcam"`, true},
		{`ATTR{name}=="HD Webcam: HD Webcam "`, false},
		{"ATTR{name}==\"HD Webcam: HD Webcam \t\"", true},
		{`ATTRS{product}=="HD Webcam"`, true},
		{`ATTRS{product}=="HD Webcam  "`, true},
		{`ATTR{empty}==""`, true},
		{`ATTR{empty}=="*"`, true},
		{`ATTR{blank}==""`, false},

		// What upstream could not write, and the white space of udevd.
		{"\tKERNEL == \"video0\" ,\tSUBSYSTEM\t==\"video4linux\" , ", true},
		{"KERNEL==\"video0\", \\\n  SUBSYSTEM==\"video4linux\"\n", true},
		{`KERNEL=="video0" SUBSYSTEM=="block"`, false},
		{`ENV{ODD}=="*(é)"`, true},
		{`ENV{ODD}!="a,b=c+d#e&f@g!h^i~j;k'l\"m"`, true},
	} {
		r, err := Parse(tt.rule)
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
			continue
		}
		if got := r.Matches(camera()); got != tt.want {
			t.Errorf("%s: got %t", tt.rule, got)
		}
	}
}

// Until udevd has recorded a device, nothing holds of what it will record.
func TestUnrecorded(t *testing.T) {
	d := &dev{devpath: "/devices/virtual/x/x0", unrecorded: true, props: map[string]string{"MAJOR": "1"}}
	for rule, want := range map[string]bool{
		`ENV{MAJOR}=="1"`:      true,
		`ENV{ID_BUS}!="usb"`:   false,
		`ENV{ID_BUS}==""`:      false,
		`ENV{ID_BUS}=="usb|"`:  false,
		`TAG!="uaccess"`:       false,
		`TAGS!="uaccess"`:      false,
		`DRIVER!="x"`:          true,
		`KERNEL=="x0"`:         true,
		`ENV{MAJOR}!="2|3|4*"`: true,
	} {
		r, err := Parse(rule)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Matches(d); got != want {
			t.Errorf("%s: got %t", rule, got)
		}
	}
}

func TestParseCounts(t *testing.T) {
	for rule, want := range map[string]int{
		`SUBSYSTEM=="v"`:             1,
		`KERNEL=="v*", ENV{A}=="?*"`: 2,
		`ENV{A}=="?*", KERNEL=="v*|w*", DRIVER=="with a space"`: 3,
		`TAG=="t",ENV{A}!=""`: 2,
		` ATTR{a}=="1" , ENV{with spaces in it}=="a value"  `: 2,
		`KERNEL=="a" SUBSYSTEM=="b", ATTRS{c}=="d"` + "\n":    3,
		`ATTRS{device/model}=="x",`:                           1,
		`ATTR{../../size}=="1"`:                               1,
	} {
		r, err := Parse(rule)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
		} else if len(r.matches) != want {
			t.Errorf("%s: %d matches, want %d", rule, len(r.matches), want)
		} else if r.String() != rule {
			t.Errorf("String() = %s", r)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		column int
		reason string // part of it
	}{
		// Shapes of upstream's refused examples.
		{`RUN{builtin}+="kmod"`, 1, "unsupported field RUN"},
		{`RUN+="/bin/sh"`, 1, "unsupported field RUN"},
		{`LABEL="here"`, 1, "unsupported field LABEL"},
		{`GOTO="there"`, 1, "unsupported field GOTO"},
		{`IMPORT{program}="x $devnode"`, 1, "unsupported field IMPORT"},
		{`OPTIONS="watch"`, 1, "unsupported field OPTIONS"},
		{`OWNER="root"`, 1, "unsupported field OWNER"},
		{`GROUP="video"`, 1, "unsupported field GROUP"},
		{`MODE="0666"`, 1, "unsupported field MODE"},
		{`WAIT_FOR="a/b"`, 1, "unsupported field WAIT_FOR"},
		{`ACTION=="add"`, 1, "unsupported field ACTION"},
		{`NAME=="eth7"`, 1, "unsupported field NAME"},
		{`SYMLINK+="v4l/$env{ID_BUS}-index$attr{index}"`, 1, "unsupported field SYMLINK"},
		{`TEST{0644}=="x`, 1, "unsupported field TEST"},
		{`PROGRAM=="/bin/true"`, 1, "unsupported field PROGRAM"},
		{`RESULT=="x"`, 1, "unsupported field RESULT"},
		{`CONST{arch}=="x86-64"`, 1, "unsupported field CONST"},
		{`SECLABEL{selinux}=="x`, 1, "unsupported field SECLABEL"},
		{`SYSCTL{kernel/x}=="1"`, 1, "unsupported field SYSCTL"},
		{`TAG-="t"`, 4, "assigns"},
		{`TAG+="t"`, 4, "assigns"},
		{`TAG="t"`, 4, "assigns"},
		{`TAG:="t"`, 4, "assigns"},

		{``, 1, "empty"},
		{" \t\n", 4, "empty"},
		{`# KERNEL=="x"`, 1, "comment"},
		{`,KERNEL=="x"`, 1, "expected a field"},
		{`KERNEL=="x",,SUBSYSTEM=="y"`, 13, "expected a field"},
		{`KERNEL=="x"SUBSYSTEM=="y"`, 12, "comma"},
		{`KERNEL=="é", Kernel=="y"`, 14, "upper case: KERNEL"},
		{`KERNEL=="x", KERNAL=="y"`, 14, "unknown field"},
		{`SYSFS{idVendor}=="x"`, 1, "ATTRS"},
		{`KERNEL{x}=="y"`, 7, "no key"},
		{`ATTR=="y"`, 5, "needs a key"},
		{`ENV=="y"`, 4, "needs a key"},
		{`ENV{}=="y"`, 4, "empty"},
		{`ENV{A=="y"`, 4, "{ without }"},
		{`ENV {A}=="y"`, 4, "needs a key"},
		{`ATTR{[dmi/id]sys_vendor}=="x"`, 5, "not supported"},
		{`ATTR{$kernel}=="x"`, 5, "substitutions"},
		{`ATTR{/etc/passwd}=="x"`, 5, "below the device"},
		{`ATTR{a/../b}=="x"`, 5, "beginning"},
		{`ATTR{..}=="x"`, 5, "below the device"},
		{`KERNEL`, 7, "expected == or !="},
		{`KERNEL~="x"`, 7, "expected == or !="},
		{`KERNEL==`, 9, "double quotes"},
		{`KERNEL==x`, 9, "double quotes"},
		{`KERNEL=='x'`, 9, "double quotes"},
		{`KERNEL==ee"x"`, 9, "double quotes"},
		{`KERNEL=="x`, 9, "closing quote"},
		{`KERNEL=="x\"`, 9, "closing quote"},
		{`KERNEL==e"\q"`, 11, "escape"},
		{`KERNEL==e"\x0"`, 11, "escape"},
		{`KERNEL==e"\000"`, 11, "escape"},
		{`KERNEL==e"\ud800"`, 11, "escape"},
		{`KERNEL=="a[b"`, 9, "[ without ]"},
		{`KERNEL=="[a|b]"`, 9, "even between brackets"},
		{`KERNEL=="*[z-a]"`, 9, "ends before"},
		{`KERNEL=="[[:number:]]"`, 9, "character class"},
		{`KERNEL=="[[.a.]]"`, 9, "not supported"},
		{`KERNEL=="[é]"`, 9, "ASCII"},
		{`KERNEL=="*\"`, 9, "closing quote"},
		{`KERNEL=="*\|b"`, 9, "backslash"},
		{"KERNEL==\"a\x00\"", 11, "not a character"},
		{"KERNEL==\"a\xff\"", 11, "not a character"},
		{`KERNEL=="` + strings.Repeat("x", MaxRuleBytes) + `"`, MaxRuleBytes + 1, "longer than"},
	} {
		_, err := Parse(tt.rule)
		se, ok := err.(*SyntaxError)
		if !ok {
			t.Errorf("%.40q: accepted, or another error: %v", tt.rule, err)
			continue
		}
		if se.Column != tt.column || !strings.Contains(se.Reason, tt.reason) {
			t.Errorf("%.40q: %v; want column %d, %q", tt.rule, err, tt.column, tt.reason)
		}
	}
}

func TestExcerpt(t *testing.T) {
	for _, tt := range []struct{ rule, want string }{
		{`KERNEL="x"`, "KERNEL=\"x\"\n      ^"},
		{`ENV{é}`, "ENV{é}\n      ^"},
		{"KERNEL==\t\"x\nSUB", "KERNEL== \"x SUB\n         ^"},
		{`KERNEL=="` + strings.Repeat("é", 60) + `", TAG="x"`, "…" + strings.Repeat("é", 44) + "\", TAG=\"x\"\n" + strings.Repeat(" ", 51) + "^"},
	} {
		_, err := Parse(tt.rule)
		if got := err.(*SyntaxError).Excerpt(); got != tt.want {
			t.Errorf("%s\n%s\nwant\n%s", tt.rule, got, tt.want)
		}
	}
}

func TestParseAll(t *testing.T) {
	for _, tt := range []struct {
		rules []string
		want  string
	}{
		{nil, "selects nothing"},
		{make([]string, MaxRules+1), "more than 256"},
		{[]string{`KERNEL=="a"`, `KERNEL="a"`}, "rule 2 of 2: column 7"},
	} {
		if _, err := ParseAll(tt.rules); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	if rs, err := ParseAll([]string{`KERNEL=="a"`, `TAG=="b"`}); err != nil || len(rs) != 2 || rs[0].UsesDatabase() || !rs[1].UsesDatabase() {
		t.Errorf("got %v, %v", rs, err)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		rule string
		want []string // a part of each
	}{
		{`KERNEL=="video[0-9]*"`, nil},
		{`SUBSYSTEM=="pci", ATTR{class}=="0x0300*"`, nil},
		{`KERNELS=="0000:00:1f.2"`, nil},
		{`DRIVERS=="a|b"`, nil},
		{`KERNEL=="a", KERNEL=="b"`, []string{"took either"}},
		{`ENV{A}=="a", TAG=="x", ENV{B}=="b"`, []string{"ENV{A} before it; upstream Akri took either"}},
		{`ATTR{A}=="a", ATTR{B}=="b"`, nil},
		{`ATTR{A}=="a", ATTR{A}=="b"`, []string{"took either"}},
		{`KERNEL=="a*", KERNEL!="ab"`, nil},
		{`DEVPATH=="/devices/x"`, []string{"by path"}},
		{`DRIVER=="usb*"`, []string{"regular expression"}},
		{`KERNEL!="sd[a-c]"`, nil},
		{`KERNEL!="sd*"`, []string{"regular expression"}},
		{`KERNEL=="a|b"`, nil},
		{`ATTR{a}!="b"`, []string{"without this attribute"}},
		{`SUBSYSTEMS!="usb"`, []string{"any of device"}},
		{`SUBSYSTEMS=="usb", ATTRS{idVendor}=="046d", ATTRS{idProduct}=="0825"`, nil},
		{`ATTRS{idVendor}=="046d", ATTRS{idProduct}=="0825", KERNELS=="1-2"`, []string{"same ancestor"}},
		{`SUBSYSTEMS=="usb", ATTRS{bInterfaceNumber}=="00"`, []string{"same ancestor"}},
		{`SUBSYSTEMS=="usb", ATTRS{idVendor}!="046d"`, []string{"same ancestor", "any of device"}},
		{`KERNEL=="a" TAG=="b"`, []string{"dropped"}},
		{`ENV{ID_*}=="b"`, []string{"one property's name"}},
		{`ENV{ID_BUS}==""`, []string{"without this property"}},
	} {
		r, err := Parse(tt.rule)
		if err != nil {
			t.Fatal(err)
		}
		ws := r.Warnings()
		ok := len(ws) == len(tt.want)
		for i := 0; ok && i < len(ws); i++ {
			ok = strings.Contains(ws[i].Text, tt.want[i])
		}
		if !ok {
			t.Errorf("%s: %v, want %q", tt.rule, ws, tt.want)
		}
	}
}

func TestHints(t *testing.T) {
	for rule, want := range map[string]string{
		`ATTRS{idVendor}=="046D"`:                   `ATTRS{idVendor}: ids have hexadecimal digits in lower case: write "046d"`,
		`KERNEL=="a", ATTR{device}=="0xA36D"`:       `write "0xa36d"`,
		`ENV{ID_VENDOR_ID}=="10C4|1A86"`:            `write "10c4|1a86"`,
		`KERNEL=="/dev/ttyUSB*|/dev/ttyACM*"`:       `KERNEL: the kernel's name of a device has no /dev/: write "ttyUSB*|ttyACM*"`,
		`KERNEL=="ttyUSB*", KERNEL!="/dev/a"`:       "",
		`ATTRS{idVendor}==i"046D"`:                  "",
		`ATTRS{idVendor}!="046D"`:                   "",
		`ATTRS{idVendor}=="046d"`:                   "",
		`ATTRS{product}=="ABC"`:                     "",
		`ATTR{vendor}=="ATA     "`:                  "", // of a SCSI disk: a name
		`ATTR{vendor}=="QEMU"`:                      "",
		`ENV{ID_MODEL}=="ABCDEF"`:                   "",
		`ATTRS{device/idProduct}=="EA60", TAG=="A"`: `write "ea60"`,
	} {
		r, err := Parse(rule)
		if err != nil {
			t.Fatal(err)
		}
		hints := r.Hints()
		if len(hints) != 0 != (want != "") || want != "" && !strings.Contains(hints[0].Text, want) {
			t.Errorf("%s: %v, want %q", rule, hints, want)
		}
	}
	for rule, want := range map[string]string{
		`KERNEL=="a", ENV{ID_BUS}=="usb"`: "ENV{ID_BUS}", `TAG=="seat"`: "TAG", `TAGS=="seat"`: "TAGS", `ENV{DEVTYPE}=="disk", ENV{MAJOR}=="1"`: "", `KERNEL=="ID_A"`: "", `ENV{ID_BUS}!="usb", TAG!="a", ENV{ID_X}==""`: "",
	} {
		r, err := Parse(rule)
		if err != nil || r.Recorded() != want {
			t.Errorf("%s: %q, %v", rule, r.Recorded(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`KERNEL=="video[0-9]*|a?", ATTRS{a}!=e"\x20[!b-c\]]"`, `TAG==i"[[:alpha:]]"`, `ENV{a}="`, ` #`} {
		f.Add(s)
	}
	d := camera()
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			se := err.(*SyntaxError)
			if se.Column < 1 || se.Excerpt() == "" || se.Error() == "" {
				t.Errorf("%q: %+v", s, se)
			}
			return
		}
		if len(r.matches) == 0 {
			t.Errorf("%q: no match", s)
		}
		r.Matches(d)
		r.Warnings()
		again, err := Parse(r.String())
		if err != nil || again.Matches(d) != r.Matches(d) {
			t.Errorf("%q: parsed twice: %v", s, err)
		}
	})
}

func BenchmarkMatches(b *testing.B) {
	d := camera()
	r, err := Parse(`SUBSYSTEM=="video4linux", KERNEL=="video[0-9]*", SUBSYSTEMS=="usb", ATTRS{idVendor}=="046d|045e", ATTRS{idProduct}=="08*"`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !r.Matches(d) {
			b.Fatal("no match")
		}
	}
}
