package udev

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/internal/handlers/udev/details"
	"github.com/akri-go/akri/internal/handlers/udev/identity"
)

// found is a device to report: one that a rule matches or, if that has no device
// node, its nearest ancestor that has one.
type found struct {
	devpath    string
	devnode    string            // such as "/dev/video0", or ""
	iommuGroup string            // a number, or ""
	links      string            // udev's symbolic links, if they are wanted
	hardware   string            // the devpath of the hardware it is part of, if devices are grouped by it
	place      string            // unless devices are known by their devpath; see package identity
	serial     string            // if they are known by their serial number; "" if there is none
	owner      string            // the devpath of the hardware with the serial number
	says       identity.Hardware // what the hardware says of itself, if that is wanted
	vital      string            // why the node itself needs it, so that it is left out; or ""
}

// compareDevpaths orders devpaths by their elements, so that the devices below a
// device follow it directly.
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

// plan makes the report of the devices that were found. all is sorted by
// compareDevpaths and has each devpath once. extra are the extraNodes that exist,
// which each device gets too.
func plan(all, extra []found, d details.Details, p passthrough) discovery.Report {
	all, leftOut := leaveOut(all, extra)
	groups := group(all, d)
	heads := make([]found, len(groups))
	for i, g := range groups {
		heads[i] = g[0]
		if d.GroupByHardware {
			heads[i].devpath = g[0].hardware
		}
	}
	ids, unsure := identify(heads, d.IdentifyBy)
	r := discovery.Report{Devices: make([]discovery.Device, 0, len(groups))}
	for i, group := range groups {
		dev := device(ids[i], heads[i].devpath, group, d, p)
		addExtra(&dev, extra, d.Permissions)
		r.Devices = append(r.Devices, dev)
	}
	missing := ""
	if n := slices.DeleteFunc(slices.Clone(d.ExtraNodes), func(node string) bool {
		return slices.ContainsFunc(extra, func(f found) bool { return f.devnode == node })
	}); len(n) > 0 {
		missing = "extraNodes that are not there: " + some(n)
	}
	r.Note = joined(leftOut, unsure, missing)
	return r
}

// joined joins the texts that are not empty.
func joined(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), "; ")
}

// group makes a group of what becomes one Device: one of what was found, or
// several if d groups. Of one piece of hardware, what has no node is dropped if
// anything has one.
func group(all []found, d details.Details) (groups [][]found) {
	if d.GroupByHardware {
		slices.SortStableFunc(all, func(a, b found) int { return compareDevpaths(a.hardware, b.hardware) })
	}
	for len(all) > 0 {
		n := 1
		for n < len(all) && (d.GroupRecursive && strings.HasPrefix(all[n].devpath, all[0].devpath+"/") || d.GroupByHardware && all[n].hardware == all[0].hardware) {
			n++
		}
		g := all[:n:n]
		all = all[n:]
		if d.GroupByHardware {
			if with := slices.DeleteFunc(slices.Clone(g), func(f found) bool { return f.devnode == "" }); len(with) > 0 {
				g = with
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// addExtra adds nodes that are not the device's own.
func addExtra(dev *discovery.Device, extra []found, permissions string) {
	for _, f := range extra {
		if f.vital == "" && !slices.ContainsFunc(dev.DeviceSpecs, func(s discovery.DeviceSpec) bool { return s.ContainerPath == f.devnode }) {
			dev.DeviceSpecs = append(dev.DeviceSpecs, discovery.DeviceSpec{ContainerPath: f.devnode, HostPath: f.devnode, Permissions: permissions})
		}
	}
}

// leaveOut removes what the node itself needs. The note names it, and also such
// nodes in extra.
func leaveOut(all, extra []found) (rest []found, note string) {
	var said []string
	for _, f := range extra {
		if f.vital != "" {
			said = append(said, f.devnode+" ("+f.vital+")")
		}
	}
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
	return rest, "left out, because the node itself needs it: " + some(said) + "; the operator can allow it (udev.discovery.allowNodeDevices)"
}

// some lists the first few of many.
func some(texts []string) string {
	const most = 4
	if more := len(texts) - most; more > 0 {
		return strings.Join(texts[:most], ", ") + " and " + strconv.Itoa(more) + " more"
	}
	return strings.Join(texts, ", ")
}

// identify returns the ids, and a note about them. A device without a serial
// number, or with one that others have too, is identified by its place. That
// also holds for the others with that number, so it does not depend on the
// order.
func identify(all []found, by details.Identity) (ids []string, note string) {
	ids = make([]string, len(all))
	for i, f := range all {
		ids[i] = f.devpath
	}
	if by != details.ByPath && by != details.BySerial {
		return ids, ""
	}
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
		case by == details.ByPath:
			ids[i] = "path:" + f.place
		case by == details.BySerial && f.serial == "":
			ids[i] = "path:" + f.place
			without = append(without, cmp.Or(f.devnode, f.devpath))
		case by == details.BySerial && owners[number(f)] == "":
			ids[i] = "path:" + f.place
			doubled = append(doubled, cmp.Or(f.devnode, f.devpath))
		default:
			ids[i] = "serial:" + f.serial
		}
		count[ids[i]]++
	}
	for i, f := range all {
		if count[ids[i]] > 1 { // only their names differ
			ids[i] = f.devpath
		}
	}
	var says []string
	if len(without) > 0 {
		says = append(says, "identified by place, since there is no serial number: "+some(without))
	}
	if len(doubled) > 0 {
		says = append(says, "identified by place, since several have the same serial number: "+some(doubled))
	}
	return ids, strings.Join(says, "; ")
}

// device makes one Device of a group. The names of its variables have numbers
// only if d groups.
func device(id, devpath string, group []found, d details.Details, p passthrough) discovery.Device {
	dev := discovery.Device{
		ID:         id,
		Properties: map[string]string{"UDEV_DEVPATH": devpath},
	}
	set := func(name string, i int, value string) {
		if d.GroupRecursive || d.GroupByHardware {
			name += "_" + strconv.Itoa(i)
		}
		dev.Properties[name] = value
	}
	mount := func(node, in, permissions string) bool {
		spec := discovery.DeviceSpec{ContainerPath: in, HostPath: node, Permissions: permissions}
		known := slices.ContainsFunc(dev.DeviceSpecs, func(s discovery.DeviceSpec) bool { return s.HostPath == node })
		if !known {
			dev.DeviceSpecs = append(dev.DeviceSpecs, spec)
		}
		return !known
	}
	resource := strings.ToUpper(strings.NewReplacer(".", "_", "/", "_").Replace(p.resource))
	nodes, addresses := 0, []string{}
	var linked []discovery.DeviceSpec // the nodes again, at the paths of udev's links
	for _, f := range group {
		if in := inContainer(f.devnode, nodes, d.ContainerPath); f.devnode != "" && mount(f.devnode, in, d.Permissions) {
			set("UDEV_DEVNODE", nodes, in)
			if links := usable(f.links); len(links) > 0 {
				set("UDEV_DEVLINKS", nodes, strings.Join(links, " "))
				for _, link := range links {
					if d.Links == details.LinksInContainer {
						linked = append(linked, discovery.DeviceSpec{ContainerPath: link, HostPath: f.devnode, Permissions: d.Permissions})
					}
				}
			}
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
	for name, value := range map[string]string{
		"UDEV_VENDOR_ID": group[0].says.VendorID, "UDEV_VENDOR": group[0].says.Vendor, "UDEV_SERIAL": group[0].says.Serial,
		"UDEV_PRODUCT_ID": group[0].says.ProductID, "UDEV_PRODUCT": group[0].says.Product,
	} {
		if value != "" {
			dev.Properties[name] = value
		}
	}
	for _, f := range group { // last, so that the numbers of the others stay
		if p.vfio && f.iommuGroup != "" {
			mount("/dev/vfio/"+f.iommuGroup, "/dev/vfio/"+f.iommuGroup, "rwm")
			mount("/dev/vfio/vfio", "/dev/vfio/vfio", "rwm")
		}
	}
	dev.DeviceSpecs = append(dev.DeviceSpecs, linked...)
	return dev
}

// inContainer returns where the n-th node of a device appears in a container.
func inContainer(devnode string, n int, wanted string) string {
	numbered := strings.ReplaceAll(wanted, "%n", strconv.Itoa(n))
	if wanted == "" || n > 0 && numbered == wanted {
		return devnode
	}
	return numbered
}

// usable returns the first links of a list that can be paths in a container.
func usable(links string) []string {
	const most = 8
	all := slices.DeleteFunc(strings.Fields(links), details.NotDevicePath)
	slices.Sort(all)
	return all[:min(len(all), most)]
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
