package explain

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/handlers"
	"github.com/akri-go/akri/internal/workload/health"
)

// kebab returns a handler's name as labels have it: debug-echo.
func kebab(name string) string {
	var out strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				out.WriteByte('-')
			}
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}

// runs reports whether a DaemonSet runs one of this project's handlers: its
// arguments say which, or its name.
func runs(set *appsv1.DaemonSet, handler string) bool {
	for _, c := range set.Spec.Template.Spec.Containers {
		if slices.Contains(c.Args, handler) {
			return true
		}
	}
	return set.Labels[LabelName] == "akri-"+kebab(handler)+"-discovery"
}

// foreign reports whether a DaemonSet runs handlers whose names are not known.
func foreign(set *appsv1.DaemonSet) bool {
	return !slices.ContainsFunc(handlers.Kinds(), func(k handlers.Kind) bool { return runs(set, k.Name) })
}

// waiting reports nodes on which no handler answers. If one answers elsewhere,
// that may be meant so.
func (v *view) waiting(c *v0.Configuration, waiting, silent group, active int) {
	base := Finding{Level: Problem, Step: StepHandler, Subject: subjectOf(Configuration, c)}
	if active > 0 {
		base.Level = Warning
	}
	name := c.Spec.DiscoveryHandler.Name
	if len(silent.nodes) > 0 {
		f := base
		f.Level, f.Cause = Warning, HandlerSilent
		f.Summary = fmt.Sprintf("the handler %s is connected on %s, and has reported nothing", name,
			names(silent.nodes))
		f.Remedy = Remedy{Text: "handlers made for upstream Akri report nothing until they find a device; others " +
			"hang: see the log",
			Commands: v.handlerLog(c)}
		silent.evidence(&f)
		v.add(f)
	}
	if len(waiting.nodes) == 0 {
		return
	}
	_, ours := kindOf(c)
	var sets []*appsv1.DaemonSet
	for _, set := range v.handlerSets {
		if ours && runs(set, name) || !ours && foreign(set) {
			sets = append(sets, set)
		}
	}
	switch near := nearest(name); {
	case !ours && near != "":
		f := base
		f.Cause, f.Summary = HandlerUnknown, fmt.Sprintf("no handler has registered as %s: is %s meant?", name, near)
		f.Remedy = Remedy{Text: "discoveryHandler.name is " + near + ", with these capitals",
			Commands: []string{fmt.Sprintf("kubectl -n %s edit akric %s", c.Namespace, c.Name)}}
		waiting.evidence(&f)
		v.add(f)
	case len(sets) == 0 && v.saw(ReadDaemonSets):
		v.notInstalled(base, c, waiting, ours)
	default:
		v.notThere(base, c, waiting, sets)
	}
}

// notInstalled reports that the release has no DaemonSet of the handler.
func (v *view) notInstalled(f Finding, c *v0.Configuration, waiting group, ours bool) {
	name := c.Spec.DiscoveryHandler.Name
	f.Cause, f.Summary = HandlerNotInstalled, fmt.Sprintf("no discovery handler %s is installed", name)
	if ours {
		f.Remedy = Remedy{Commands: []string{v.helm(name + ".discovery.enabled=true")}, See: handlerPage(c)}
	} else {
		f.Remedy = Remedy{Text: "install it: custom.discovery.* of the chart runs an image of yours, and `akri " +
			"handler test` tries it",
			See: "docs/write-a-handler.md"}
	}
	f.says("DaemonSets", "none runs the handler %s", name)
	waiting.evidence(&f)
	v.add(f)
}

// notThere reports nodes on which the Pod of a handler is missing, or does not
// run, or has not answered.
func (v *view) notThere(base Finding, c *v0.Configuration, waiting group, sets []*appsv1.DaemonSet) {
	var missing, broken, there group
	var because *Ref
	name := c.Spec.DiscoveryHandler.Name
	for _, node := range waiting.nodes {
		var pod *corev1.Pod
		for _, set := range sets {
			if p := v.podOf(set, node); p != nil {
				pod = p
				if r := v.ref(subjectOf("DaemonSet", set), HandlerNotRunning, HandlerNotAccepted); r != nil &&
					v.on(*r, node) {
					because = r
				}
			}
		}
		switch {
		case pod == nil && v.saw(ReadPods):
			missing.add(node, waiting.says[node])
		case pod != nil && health.Judge(pod, false, v.Now).Health == health.Broken:
			broken.add(node, waiting.says[node])
		default:
			there.add(node, waiting.says[node])
		}
	}
	if len(missing.nodes) > 0 {
		f := base
		f.Cause, f.Summary = HandlerNotOnNode, fmt.Sprintf("no Pod of the handler %s runs on %s", name,
			names(missing.nodes))
		f.Remedy = Remedy{Text: fmt.Sprintf("%s.discovery.nodeSelectors and tolerations say where it runs",
			valuesOf(c))}
		missing.evidence(&f)
		for _, set := range sets {
			v.setSays(&f, subjectOf("DaemonSet", set), set.Spec.Template.Spec.NodeSelector,
				set.Status.DesiredNumberScheduled)
		}
		for _, n := range missing.nodes {
			if t := v.nodes[n]; t != nil && taints(t) != "" {
				f.says(nodeSubject(n).String(), "it has the taints %s", taints(t))
			}
		}
		v.add(f)
	}
	if len(broken.nodes) > 0 {
		f := base
		f.Cause, f.Summary, f.Because = HandlerNotRunning, fmt.Sprintf("its handler %s does not run on %s", name,
			names(broken.nodes)), because
		f.Remedy.Commands = v.handlerLog(c)
		broken.evidence(&f)
		v.add(f)
	}
	if len(there.nodes) > 0 {
		f := base
		f.Cause, f.Summary = HandlerSilent, fmt.Sprintf("a Pod of the handler %s runs on %s, and none has "+
			"registered under that name",
			name, names(there.nodes))
		f.Remedy = Remedy{Text: "it has just started, or registers under another name: its log says so",
			Commands: v.handlerLog(c)}
		if len(sets) == 0 {
			f.Summary = fmt.Sprintf("no handler %s has registered on %s", name, names(there.nodes))
		}
		there.evidence(&f)
		v.add(f)
	}
}

// valuesOf is the key of a handler in the chart's values.
func valuesOf(c *v0.Configuration) string {
	if k, ok := kindOf(c); ok {
		return k.Name
	}
	return "custom"
}

// nearest returns the handler of this project that a name may be meant for, or
// "".
func nearest(name string) string {
	for _, k := range handlers.Kinds() {
		if k.Name != name && (strings.EqualFold(k.Name, name) ||
			distance(strings.ToLower(k.Name), strings.ToLower(name)) == 1) {
			return k.Name
		}
	}
	return ""
}

// distance is the number of letters to insert, delete, replace or swap.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
