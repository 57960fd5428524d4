package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/akri-go/akri/internal/devcluster"
	"github.com/akri-go/akri/internal/terminal"
)

// interact shows the table and handles keys until the person quits.
func (d *demo) interact(ctx context.Context) error {
	keys, restore, err := terminal.Keys(ctx, d.Terminal)
	if err != nil {
		return err
	}
	defer restore()

	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	s := terminal.Screen{Out: d.Out}
	defer s.Leave()
	note := ""
	for {
		width, height := terminal.Size(d.Terminal)
		rows, err := d.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			note = "the API server does not answer: " + err.Error()
		}
		s.Draw(d.screenText(rows, note, width, height), width, height)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			continue
		case key, open := <-keys:
			if !open {
				return nil
			}
			quit, said := d.heed(ctx, key)
			if quit {
				return nil
			}
			note = said
		}
	}
}

// heed carries out a key. It returns what to tell the person.
func (d *demo) heed(ctx context.Context, key byte) (quit bool, note string) {
	switch key {
	case 'q', 'Q', terminal.CtrlC, terminal.CtrlD:
		return true, ""
	case 'p', 'P':
		if !d.subject.Pluggable {
			return false, "plug in a camera by hand"
		}
		if err := d.plug(ctx); err != nil {
			return false, err.Error()
		}
		return false, "plugged /dev/" + d.plugged[len(d.plugged)-1]
	case 'u', 'U':
		if len(d.plugged) == 0 {
			return false, "this demo has plugged nothing that it could unplug"
		}
		name := d.plugged[len(d.plugged)-1]
		if err := d.unplug(ctx); err != nil {
			return false, err.Error()
		}
		return false, "unplugged /dev/" + name
	case 'c', 'x':
		return false, d.heedCamera(ctx, key)
	}
	return false, ""
}

// screenText is what is on the screen, the most important first.
func (d *demo) screenText(rows []row, note string, width, height int) []string {
	keys := "q or Ctrl-C end, and remove the cluster"
	if !d.made {
		keys = "q or Ctrl-C end; the cluster stays"
	}
	if d.subject.Pluggable {
		keys = "p plug a device   u unplug it   " + keys
	} else {
		keys = "plug cameras in and out   " + keys
	}
	head := append([]string{keys}, d.pageText()...)
	return layout(head, table(rows, width), note, d.nextText(), height)
}

// layout arranges the screen: keys and address, the note, as much of the table
// as there is room for, and below it what to try next if there is still room.
func layout(head, table []string, note string, next []string, height int) []string {
	lines := append(slices.Clone(head), note)
	room := max(height-1-len(lines), 2)
	if len(table) > room {
		table = append(slices.Clone(table[:room-1]), fmt.Sprintf("… and %d more", len(table)-room+1))
	}
	lines = append(lines, table...)
	if len(lines)+1+len(next) < height {
		lines = append(append(lines, ""), next...)
	}
	return lines
}

func (d *demo) pageText() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	url, err := d.dashboardURL(ctx)
	if err != nil {
		return []string{"no dashboard: " + err.Error()}
	}
	return append(d.picturesText(ctx), pageLines(url, d.token, d.shared)...)
}

func (d *demo) nextText() []string {
	dev := "  bin/" + devcluster.Command(d.Dir)
	return []string{
		"what to try next, in another terminal here:",
		dev + " kubectl get akric,akrii,pods,services -o wide",
		dev + " kubectl describe akric " + d.subject.Configuration,
		dev + " kubectl delete akric " + d.subject.Configuration + "       deletes the brokers",
		dev + " kubectl apply -f samples/" + d.subject.Manifest + "    brings them back",
		"  docs/ has one page for each thing to do",
	}
}
