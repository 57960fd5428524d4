package trial_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/akri-go/akri/api/discovery/v0"
)

func device(id string) *pb.Device {
	return &pb.Device{Id: id, Properties: map[string]string{"NAME": id}}
}

// list makes the lists that a call brings, one after the other.
func (b *bare) lists(details string) (all [][]*pb.Device) {
	names := strings.Fields(details)
	n := b.calls.Add(1)
	var whole []*pb.Device
	for _, name := range names {
		d := device(name)
		switch {
		case b.has("counts"):
			d.Id = fmt.Sprintf("%s-%d", name, n)
		case b.has("timestamps"):
			d.Properties["TIME"] = fmt.Sprint(n)
		case b.has("long-ids"):
			d.Id = strings.Repeat(name, 2000)
		case b.has("loader"):
			d.Properties["LD_PRELOAD"] = "/x.so"
		case b.has("mounts"):
			d.Mounts = []*pb.Mount{{HostPath: "/srv/data", ContainerPath: "/data"}}
		case b.has("reaches-out"):
			d.DeviceSpecs = []*pb.DeviceSpec{{HostPath: "/dev/../etc/shadow", ContainerPath: "/x", Permissions: "r"}}
		}
		whole = append(whole, d)
		if b.has("parts") {
			all = append(all, []*pb.Device{d})
		}
	}
	switch {
	case b.has("parts"):
		return all
	case b.has("twice"):
		return [][]*pb.Device{append(whole, whole...)}
	case b.has("large"): // as large as may be
		whole[0].Properties["BIG"] = strings.Repeat("x", 32<<10)
		for i := range 110 {
			d := device(fmt.Sprint("large", i))
			d.Properties["BIG"] = whole[0].Properties["BIG"]
			whole = append(whole, d)
		}
	case b.has("huge"):
		whole[0].Properties["BIG"] = strings.Repeat("x", 5<<20)
	case b.has("many"):
		for i := range 20_000 {
			whole = append(whole, device(fmt.Sprint(i)))
		}
	}
	return [][]*pb.Device{whole}
}

func (b *bare) Discover(m *pb.DiscoverRequest, stream grpc.ServerStreamingServer[pb.DiscoverResponse]) error {
	ctx := stream.Context()
	if m.DiscoveryDetails != "nothing" && strings.Contains(m.DiscoveryDetails, "'") || m.DiscoveryDetails == "bad" {
		switch {
		case b.has("panics-on-bad"):
			panic("unwrap")
		case b.has("takes-anything"):
		case b.has("refuses-vaguely"):
			return status.Error(codes.Unknown, "no")
		case b.has("refuses-at-length"):
			return status.Error(codes.InvalidArgument, strings.Repeat("\x1b[2J no ", 5_000))
		case b.has("refuses-silently"):
			return status.Error(codes.InvalidArgument, "")
		default:
			return status.Error(codes.InvalidArgument, "write names, such as: one two")
		}
	}
	if b.has("panics") {
		panic("unwrap")
	}
	if b.has("dies-later") && b.calls.Load() > 3 {
		os.Exit(7)
	}
	if b.has("one-at-a-time") {
		b.one.Lock()
		defer b.one.Unlock()
	}
	if b.has("keeps-workers") { // of 30
		b.workers <- struct{}{}
	}
	if b.has("keeps-files") {
		if f, err := os.Open(os.DevNull); err == nil {
			b.mu.Lock()
			b.leaked = append(b.leaked, f)
			b.mu.Unlock()
		}
	}
	details := m.DiscoveryDetails
	if details == "nothing" {
		details = ""
	}
	lists := b.lists(details)
	if b.extra() {
		lists[len(lists)-1] = append(lists[len(lists)-1], device("extra"))
	}
	if b.has("mute") || len(lists[0:]) > 0 && len(strings.Fields(details)) == 0 && b.has("mute-if-empty") {
		lists = nil
	}
	for _, devices := range lists {
		m := &pb.DiscoverResponse{Devices: devices}
		if b.has("departs") && len(devices) > 1 {
			if err := stream.Send(b.departing(m)); err != nil || !b.has("comes-back") {
				return errors.Join(err, waitFor(ctx))
			}
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	for b.has("repeats") && ctx.Err() == nil {
		if err := stream.Send(&pb.DiscoverResponse{Devices: lists[0]}); err != nil {
			return err
		}
		if !b.has("floods") {
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	if b.has("ends") {
		return nil
	}
	if err := b.follow(stream, lists); err != nil {
		return err
	}
	<-ctx.Done()
	if !b.has("does-not-notice") {
		b.registerAgain()
	}
	return ctx.Err()
}

func waitFor(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// departing is a list without its first device, which has departed.
func (b *bare) departing(m *pb.DiscoverResponse) *pb.DiscoverResponse {
	gone := &pb.DiscoverResponse{Devices: m.Devices[1:], Departed: []string{m.Devices[0].Id}}
	if b.has("is-there") {
		gone.Devices = m.Devices
	}
	if b.has("nameless") {
		gone.Departed = append(gone.Departed, "")
	}
	return gone
}

// extra is the file that stands for one more device.
func (b *bare) extra() bool {
	_, err := os.Stat(filepath.Join(b.directory, "extra"))
	return err == nil
}

// follow sends the new list when the extra device comes.
func (b *bare) follow(stream grpc.ServerStreamingServer[pb.DiscoverResponse], lists [][]*pb.Device) error {
	there := len(lists) > 0 && slices.ContainsFunc(lists[len(lists)-1], func(d *pb.Device) bool { return d.Id == "extra" })
	for ctx := stream.Context(); len(lists) > 0 && !there && !b.has("misses-changes"); {
		if b.extra() {
			whole := append(lists[len(lists)-1], device("extra"))
			if b.has("sends-new-ones") {
				whole = whole[len(whole)-1:]
			}
			return stream.Send(&pb.DiscoverResponse{Devices: whole})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
