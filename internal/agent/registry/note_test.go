package registry

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/akri-go/akri/api/discovery/v0"
	"github.com/akri-go/akri/discovery"
	"github.com/akri-go/akri/discovery/contract"
)

// explainer notes what it leaves out.
type explainer struct{ discovery.Report }

func (explainer) Name() string { return "explainer" }
func (explainer) Shared() bool { return false }
func (e explainer) Discover(context.Context, discovery.Request, func([]discovery.Device) error) error {
	panic("it has notes: nobody need ask without")
}

func (e explainer) Explain(_ context.Context, _ discovery.Request, report func(discovery.Report) error) error {
	return report(e.Report)
}

// A handler's note joins what the agent says of the list, in one printable line.
func TestNotes(t *testing.T) {
	for _, tt := range []struct {
		ids        []string
		note, want string
	}{
		{[]string{"a"}, "", ""},
		{[]string{"a"}, "left /dev/sda out", "left /dev/sda out"},
		{[]string{"a", "a"}, "left\n/dev/sda out", `device "a": is listed more than once, the first counts; left /dev/sda out`},
		{nil, strings.Repeat("x", 2*contract.MaxWordsBytes), strings.Repeat("x", contract.MaxWordsBytes-3) + "…"},
	} {
		m := &pb.DiscoverResponse{Note: tt.note}
		var devices []discovery.Device
		for _, id := range tt.ids {
			m.Devices = append(m.Devices, &pb.Device{Id: id})
			devices = append(devices, discovery.Device{ID: id})
		}
		raw, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		check := func(how string, good []discovery.Device, refused, err error) {
			text := ""
			if refused != nil {
				text = refused.Error()
			}
			if err != nil || text != tt.want || len(good) != min(len(tt.ids), 1) {
				t.Errorf("%s: %d devices, %q, %v; want %q", how, len(good), text, err, tt.want)
			}
		}
		l, err := decode(testRules(), raw)
		check("by gRPC", l.devices, l.refused, err)
		b := builtin{explainer{discovery.Report{Devices: devices, Note: tt.note, Departed: []string{"z"}}}, testRules()}
		asked := 0
		_ = b.ask(t.Context(), discovery.Request{}, 0, func(l list, err error) {
			asked++
			check("built in", l.devices, l.refused, err)
			if !slices.Equal(l.departed, []string{"z"}) {
				t.Errorf("departed: %q", l.departed)
			}
		})
		if asked != 1 {
			t.Errorf("%d reports", asked)
		}
	}
}
