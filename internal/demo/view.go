package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	akri "github.com/akri-go/akri/api/v0"
)

// row is one device: one that the machine has, an Instance, or both.
type row struct {
	device   string // device node
	present  bool   // the machine has it
	instance string // "" as long as there is none
	node     string
	slots    string // "used/capacity"
	broker   string // Pod
	phase    string // of the broker
	problem  string // what is wrong, by the Instance's conditions
}

// view joins the machine's devices with the Instances and brokers of one
// Configuration.
func view(devices []string, configuration string, instances []akri.Instance, pods []corev1.Pod) []row {
	rows := map[string]*row{}
	for _, d := range devices {
		rows[d] = &row{device: d, present: true}
	}
	for _, i := range instances {
		if i.Spec.ConfigurationName != configuration {
			continue
		}
		device := i.Spec.BrokerProperties["UDEV_DEVNODE"]
		if device == "" {
			device = i.Name
		}
		r := rows[device]
		if r == nil {
			r = &row{device: device}
			rows[device] = r
		}
		used := 0
		for _, holder := range i.Spec.DeviceUsage {
			if holder != "" {
				used++
			}
		}
		r.instance, r.node = i.Name, strings.Join(i.Spec.Nodes, ",")
		r.slots = fmt.Sprintf("%d/%d", used, i.Spec.Capacity)
		r.problem = problemOf(i.Status.Conditions)
		for _, p := range pods {
			if p.Labels[akri.LabelInstance] == i.Name && p.Namespace == i.Namespace {
				r.broker, r.phase = p.Name, phaseOf(p)
			}
		}
	}
	out := make([]row, 0, len(rows))
	for _, r := range rows {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b row) int { return natural(a.device, b.device) })
	return out
}

// phaseOf is the Pod's phase or, better, what it waits for.
func phaseOf(p corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "Terminating"
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.State.Waiting != nil && s.State.Waiting.Reason != "" {
			return s.State.Waiting.Reason
		}
		// For most of the time between two crashes this is all that the kubelet
		// reports.
		if t := s.State.Terminated; t != nil && t.ExitCode != 0 && p.Status.Phase == corev1.PodRunning {
			return cmp.Or(t.Reason, "Error")
		}
	}
	if p.Status.Phase == "" {
		return "Pending"
	}
	return string(p.Status.Phase)
}

// problemOf returns the reason of the first condition that is not well, except
// those about brokers, which their Pods show.
func problemOf(conditions []metav1.Condition) string {
	for _, c := range conditions {
		if c.Status != metav1.ConditionTrue && c.Type != "BrokersReady" {
			return c.Reason
		}
	}
	return ""
}

// running reports whether every device of the machine has a running broker, and
// no other device is left.
func running(rows []row) bool {
	return !slices.ContainsFunc(rows, func(r row) bool { return !r.present || r.phase != string(corev1.PodRunning) })
}

// columns of the table; where there is no room, the last ones are left out.
func columns(r row) []string {
	state := r.phase
	switch {
	case r.instance == "":
		state = "not found yet"
	case !r.present:
		state = strings.TrimSpace(r.phase + " (unplugged)")
	case r.broker == "":
		state = "no broker yet"
	}
	if r.problem != "" && r.instance != "" {
		state += " (" + r.problem + ")"
	}
	return []string{r.device, r.instance, r.slots, state, r.broker, r.node}
}

// table formats rows under a header, with as many columns as fit into the
// width; 0 is any width.
func table(rows []row, width int) []string {
	cells := [][]string{{"DEVICE", "INSTANCE", "SLOTS", "STATE", "BROKER", "NODE"}}
	for _, r := range rows {
		cells = append(cells, columns(r))
	}
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], len(c))
		}
	}
	shown, total := 0, 0
	for _, w := range widths {
		if total += w; width > 0 && shown > 0 && total > width {
			break
		}
		total += 2
		shown++
	}
	var out []string
	for _, line := range cells {
		var b strings.Builder
		for i, c := range line[:shown] {
			fmt.Fprintf(&b, "%-*s  ", widths[i], c)
		}
		out = append(out, strings.TrimRight(b.String(), " "))
	}
	if len(rows) == 0 {
		out = append(out, "(no device)")
	}
	return out
}

// natural sorts /dev/zram9 before /dev/zram10.
func natural(a, b string) int {
	split := func(s string) (string, int) {
		head := strings.TrimRight(s, "0123456789")
		n, _ := strconv.Atoi(s[len(head):])
		return head, n
	}
	ha, na := split(a)
	hb, nb := split(b)
	return cmp.Or(cmp.Compare(ha, hb), cmp.Compare(na, nb), cmp.Compare(a, b))
}
