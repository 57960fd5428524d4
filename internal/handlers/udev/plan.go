package udev

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/discovery"
)

// found is a device that is to be reported: one that a rule matches or, if
// that has no device node, its nearest ancestor that has one.
type found struct {
	devpath    string
	devnode    string // such as "/dev/video0", or ""
	iommuGroup string // a number, or ""
	place      string // unless devices are known by their devpath; see package identity
	serial     string // if they are known by their serial number; "" if there is none
	owner      string // what has the serial number
	vital      string // why the node lives on it and it is left out, or ""
}

// compareDevpaths orders devpaths by their elements, so that a device is
// directly followed by those below it.
func compareDevpaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

// plan makes the report of what was found, which is sorted by compareDevpaths
// and names each devpath once.
func plan(all []found, d Details, p passthrough) discovery.Report {
	all, leftOut := leaveOut(all)
	var groups [][]found
	var heads []found // of groups
	for len(all) > 0 {
		n := 1
		for d.GroupRecursive && n < len(all) && strings.HasPrefix(all[n].devpath, all[0].devpath+"/") {
			n++
		}
		groups, heads = append(groups, all[:n]), append(heads, all[0])
		all = all[n:]
	}
	ids, unsure := identify(heads, d.IdentifyBy)
	r := discovery.Report{Devices: make([]discovery.Device, 0, len(groups))}
	for i, group := range groups {
		r.Devices = append(r.Devices, device(ids[i], group, d, p))
	}
	r.Note = strings.Join(slices.DeleteFunc([]string{leftOut, unsure}, func(s string) bool { return s == "" }), "; ")
	return r
}

// leaveOut takes away what the node lives on, and says so.
func leaveOut(all []found) (rest []found, note string) {
	var said []string
	for _, f := range all {
		if f.vital == "" {
			rest = append(rest, f)
			continue
		}
		said = append(said, f.devnode+" ("+f.vital+")")
	}
	if len(said) == 0 {
		return rest, ""
	}
	return rest, "left out, because the node lives on it: " + some(said) + "; the operator can allow it (udev.discovery.allowNodeDevices)"
}

// some lists the first few of many.
func some(texts []string) string {
	const most = 4
	if more := len(texts) - most; more > 0 {
		return strings.Join(texts[:most], ", ") + " and " + strconv.Itoa(more) + " more"
	}
	return strings.Join(texts, ", ")
}

// identify returns the id of each, and what to note about them. What has no
// serial number, or one that others have too, is known by its place; so are all
// that have it, whichever came first.
func identify(all []found, by Identity) (ids []string, note string) {
	ids = make([]string, len(all))
	owners := map[string]string{} // of serial numbers; "" if there are several
	number := func(f found) string { n, _, _ := strings.Cut(f.serial, "/"); return n }
	for _, f := range all {
		if owner, known := owners[number(f)]; known && owner != f.owner {
			owners[number(f)] = ""
		} else {
			owners[number(f)] = f.owner
		}
	}
	var without, doubled []string
	count := map[string]int{}
	for i, f := range all {
		switch {
		case by == ByPath:
			ids[i] = "path:" + f.place
		case by == BySerial && f.serial == "":
			ids[i] = "path:" + f.place
			without = append(without, cmp.Or(f.devnode, f.devpath))
		case by == BySerial && owners[number(f)] == "":
			ids[i] = "path:" + f.place
			doubled = append(doubled, cmp.Or(f.devnode, f.devpath))
		case by == BySerial:
			ids[i] = "serial:" + f.serial
		default:
			ids[i] = f.devpath
		}
		count[ids[i]]++
	}
	for i, f := range all {
		if count[ids[i]] > 1 { // two that nothing tells apart but their names
			ids[i] = f.devpath
		}
	}
	var says []string
	if len(without) > 0 {
		says = append(says, "known by place, having no serial number: "+some(without))
	}
	if len(doubled) > 0 {
		says = append(says, "known by place, having one serial number with others: "+some(doubled))
	}
	return ids, strings.Join(says, "; ")
}

// device makes one Device of those of a group, the first of which is the
// topmost. Only with groupRecursive do variables have numbers.
func device(id string, group []found, d Details, p passthrough) discovery.Device {
	dev := discovery.Device{
		ID:         id,
		Properties: map[string]string{"UDEV_DEVPATH": group[0].devpath},
	}
	set := func(name string, i int, value string) {
		if d.GroupRecursive {
			name += "_" + strconv.Itoa(i)
		}
		dev.Properties[name] = value
	}
	mount := func(node, permissions string) bool {
		spec := discovery.DeviceSpec{ContainerPath: node, HostPath: node, Permissions: permissions}
		known := slices.ContainsFunc(dev.DeviceSpecs, func(s discovery.DeviceSpec) bool { return s.HostPath == node })
		if !known {
			dev.DeviceSpecs = append(dev.DeviceSpecs, spec)
		}
		return !known
	}
	resource := strings.ToUpper(strings.NewReplacer(".", "_", "/", "_").Replace(p.resource))
	nodes, addresses := 0, []string{}
	for _, f := range group {
		if f.devnode != "" && mount(f.devnode, d.Permissions) {
			set("UDEV_DEVNODE", nodes, f.devnode)
			if a := usbAddress(f.devnode); a != "" && resource != "" {
				set("USB_RESOURCE_"+resource, nodes, a)
			}
			nodes++
		}
		if a := pciAddress(f.devpath); a != "" && resource != "" && !slices.Contains(addresses, a) {
			set("PCI_RESOURCE_"+resource, len(addresses), a)
			addresses = append(addresses, a)
		}
	}
	for _, f := range group { // after the others, whose numbers nothing may move
		if p.vfio && f.iommuGroup != "" {
			mount("/dev/vfio/"+f.iommuGroup, "rwm")
			mount("/dev/vfio/vfio", "rwm")
		}
	}
	return dev
}

// usbAddress returns "bus:device" in decimal, as KubeVirt wants it, of a node
// such as /dev/bus/usb/001/010, or "".
func usbAddress(devnode string) string {
	rest, ok := strings.CutPrefix(devnode, "/dev/bus/usb/")
	if !ok {
		return ""
	}
	bus, dev, _ := strings.Cut(rest, "/")
	b, err1 := strconv.ParseUint(bus, 10, 32)
	d, err2 := strconv.ParseUint(dev, 10, 32)
	if err1 != nil || err2 != nil {
		return ""
	}
	return strconv.FormatUint(b, 10) + ":" + strconv.FormatUint(d, 10)
}

// pciAddress returns the last PCI address in a devpath, such as
// "0000:01:00.0", or "" if there is none or if it is that of a USB host.
func pciAddress(devpath string) (address string) {
	for e := range strings.SplitSeq(devpath, "/") {
		if strings.HasPrefix(e, "usb") {
			return ""
		}
		if isPCIAddress(e) {
			address = e
		}
	}
	return address
}

// isPCIAddress tells whether s is domain:bus:slot.function in hexadecimal.
func isPCIAddress(s string) bool {
	domain, rest, ok1 := strings.Cut(s, ":")
	bus, rest, ok2 := strings.Cut(rest, ":")
	slot, function, ok3 := strings.Cut(rest, ".")
	for _, n := range []string{domain, bus, slot, function} {
		if n == "" || strings.Trim(n, "0123456789abcdefABCDEF") != "" {
			return false
		}
	}
	return ok1 && ok2 && ok3
}
