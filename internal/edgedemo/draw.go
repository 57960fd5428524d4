package edgedemo

import (
	"fmt"
	"strings"
)

// The widths of the table's columns: that of the names, and that of a node.
const nameWidth, columnWidth = 15, 28

// Draw makes a screen: keys, what both ends say side by side, what has happened,
// the newest last. chosen is the node that keys are about.
func Draw(s State, told []string, chosen, width, height int) []string {
	lines := []string{
		"c cut or mend the link   p cut the power, or give it   1 2 choose a node   u update the application   q end", "",
	}
	lines = append(lines, table(s, chosen)...)
	lines = append(lines, "")
	room := max(height-1-len(lines), 1)
	lines = append(lines, told[max(0, len(told)-room):]...)
	for i, l := range lines {
		if r := []rune(l); len(r) > width {
			lines[i] = string(r[:width])
		}
	}
	return lines
}

// table has a column for each node, what the cluster says above what the node says
// itself.
func table(s State, chosen int) []string {
	row := func(name string, of func(Node) string) string {
		line := fmt.Sprintf("%-*s", nameWidth, name)
		for _, n := range s.Nodes {
			line += fmt.Sprintf("%-*s", columnWidth, of(n))
		}
		return strings.TrimRight(line, " ")
	}
	i := -1
	return []string{
		row("", func(n Node) string {
			if i++; i == chosen {
				return "[" + n.Name + "]"
			}
			return " " + n.Name
		}),
		row("CLOUD  node", func(n Node) string { return " " + n.Cloud }),
		row("       Pod", func(n Node) string { return " " + n.CloudPod }),
		row("       app", func(Node) string { return " version " + s.Version }),
		row("       link", func(n Node) string {
			if n.Cut {
				return " ╌╌╌╌ CUT ╌╌╌╌"
			}
			return " ━━━━━━━━━━━━━"
		}),
		row("EDGE   power", func(n Node) string {
			if n.Power {
				return " on"
			}
			return " OFF"
		}),
		row("       link", func(n Node) string { return " " + n.Link }),
		row("       kubelet", func(n Node) string { return " " + n.Kubelet }),
		row("       Pod", func(n Node) string {
			if n.Pod == unknown {
				return " " + unknown
			}
			return fmt.Sprintf(" %s, %d restarts", n.Pod, n.Restarts)
		}),
		row("       app", func(n Node) string {
			if n.Version == unknown {
				return " " + unknown
			}
			return " version " + n.Version
		}),
	}
}
