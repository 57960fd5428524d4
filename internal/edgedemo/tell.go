package edgedemo

import "fmt"

// Tell says in words what has happened between two states, a line for each thing.
func Tell(before, after State) []string {
	var out []string
	tell := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, now := range after.Nodes {
		was, ok := find(before, now.Name)
		if !ok {
			continue
		}
		switch {
		case was.Power && !now.Power:
			tell("%s has no power: all that ran there has ended", now.Name)
		case !was.Power && now.Power:
			tell("%s has power again, and starts", now.Name)
		}
		switch {
		case was.Link != "cut" && now.Link == "cut":
			tell("%s notices that it cannot reach the cluster: it goes on with what it has", now.Name)
		case was.Link == "cut" && now.Link == "connected":
			tell("%s is connected again", now.Name)
		}
		switch {
		case was.Cloud == "Ready" && now.Cloud == "NotReady":
			tell("the cluster calls %s NotReady: its Pods stay where they are", now.Name)
		case was.Cloud == "NotReady" && now.Cloud == "Ready":
			tell("the cluster calls %s Ready again", now.Name)
		}
		if starts(was.Pod, now.Pod) {
			how := "its application runs"
			if now.Link == "cut" {
				how = "its application runs again, without the cluster"
			}
			tell("%s: %s", now.Name, how)
		}
		if now.Version != unknown && was.Version != unknown && now.Version != was.Version {
			tell("%s has version %s of the application", now.Name, now.Version)
		}
	}
	if before.Version != "" && after.Version != before.Version {
		tell("in the cluster the application has version %s now", after.Version)
	}
	return out
}

// running is a Pod whose container is ready.
const running = "Running 1/1"

func starts(was, now string) bool { return was != running && now == running }

func find(s State, name string) (Node, bool) {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}
