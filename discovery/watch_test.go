package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
)

// scripted is a handler whose Discover is a function.
type scripted func(ctx context.Context, report func([]Device) error) error

func (scripted) Name() string { return "scripted" }
func (scripted) Shared() bool { return false }
func (s scripted) Discover(ctx context.Context, _ Request, report func([]Device) error) error {
	return s(ctx, report)
}

func list(ids ...string) []Device {
	devices := make([]Device, len(ids))
	for i, id := range ids {
		devices[i] = Device{ID: id, Properties: map[string]string{"ID": id}}
	}
	return devices
}

// sent runs watch over lists, each reported once the one before was sent or
// found to be the same, and returns the ids sent.
func sent(t *testing.T, lists ...[]Device) (all []string) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := watch(ctx, scripted(func(ctx context.Context, report func([]Device) error) error {
			for _, l := range lists {
				if err := report(l); err != nil {
					return err
				}
				synctest.Wait()
			}
			cancel()
			return ctx.Err()
		}), Request{}, func(r Report) error {
			text := ""
			for _, d := range r.Devices {
				text += d.ID + d.Properties["ID"]
			}
			all = append(all, text)
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	return all
}

func TestWatchSendsWhatDiffers(t *testing.T) {
	other := list("a", "b")
	other[1].Properties = map[string]string{"ID": "c"}
	for _, test := range []struct {
		name  string
		lists [][]Device
		want  []string
	}{
		{"nothing", nil, nil},
		{"an empty first list", [][]Device{nil}, []string{""}},
		{"the same", [][]Device{list("a"), list("a"), list("a")}, []string{"aa"}},
		{"another order", [][]Device{list("a", "b"), list("b", "a")}, []string{"aabb"}},
		{"changes", [][]Device{nil, list("a"), {}, list("a")}, []string{"", "aa", "", "aa"}},
		{"properties", [][]Device{list("a", "b"), other}, []string{"aabb", "aabc"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := sent(t, test.lists...); !slices.Equal(got, test.want) {
				t.Errorf("sent %q, want %q", got, test.want)
			}
		})
	}
}

// A reader that is slow must not hold the handler up, nor get old lists.
func TestWatchNewestWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		first, read := make(chan struct{}), make(chan struct{})
		var got []string
		ended := make(chan error)
		go func() {
			ended <- watch(ctx, scripted(func(ctx context.Context, report func([]Device) error) error {
				for n := range 1000 {
					if err := report(list(fmt.Sprint(n))); err != nil {
						return err
					}
					if n == 0 {
						<-first
					}
				}
				<-ctx.Done()
				return ctx.Err()
			}), Request{}, func(r Report) error {
				got = append(got, r.Devices[0].ID)
				<-read
				return nil
			})
		}()
		synctest.Wait()
		close(first)
		synctest.Wait()
		close(read)
		synctest.Wait()
		cancel()
		<-ended
		if want := []string{"0", "999"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	failure := errors.New("failure")
	t.Run("the handler fails", func(t *testing.T) {
		n := 0
		err := watch(t.Context(), scripted(func(_ context.Context, report func([]Device) error) error {
			report(list("a"))
			return failure
		}), Request{}, func(Report) error { n++; return nil })
		if err != failure || n != 1 {
			t.Errorf("ended with %v after %d lists", err, n)
		}
	})
	t.Run("the handler just ends", func(t *testing.T) {
		err := watch(t.Context(), scripted(func(context.Context, func([]Device) error) error { return nil }), Request{}, nil)
		if !errors.Is(err, errEnded) {
			t.Errorf("ended with %v", err)
		}
	})
	t.Run("sending fails", func(t *testing.T) {
		var told error
		err := watch(t.Context(), scripted(func(ctx context.Context, report func([]Device) error) error {
			report(list("a"))
			<-ctx.Done()
			told = report(list("b"))
			return told
		}), Request{}, func(Report) error { return failure })
		if err != failure || told == nil {
			t.Errorf("ended with %v, the handler was told %v", err, told)
		}
	})
}

func TestSame(t *testing.T) {
	full := Device{ID: "a", Properties: map[string]string{"K": "v"},
		Mounts:      []Mount{{ContainerPath: "/c", HostPath: "/h"}},
		DeviceSpecs: []DeviceSpec{{ContainerPath: "/c", HostPath: "/h", Permissions: "r"}}}
	change := func(do func(*Device)) []Device {
		d := full
		d.Mounts, d.DeviceSpecs = slices.Clone(d.Mounts), slices.Clone(d.DeviceSpecs)
		do(&d)
		return []Device{d}
	}
	if !Same(nil, []Device{}) || !Same([]Device{full}, []Device{full}) {
		t.Error("the same is not the same")
	}
	for i, other := range [][]Device{
		nil, {full, full},
		change(func(d *Device) { d.ID = "b" }),
		change(func(d *Device) { d.Properties = nil }),
		change(func(d *Device) { d.Mounts[0].ReadOnly = true }),
		change(func(d *Device) { d.DeviceSpecs[0].Permissions = "w" }),
	} {
		if Same([]Device{full}, other) {
			t.Errorf("list %d counts as the same", i)
		}
	}
}

// explained is a handler with notes.
type explained struct{ reports []Report }

func (explained) Name() string { return "explained" }
func (explained) Shared() bool { return false }
func (e explained) Discover(ctx context.Context, req Request, report func([]Device) error) error {
	return e.Explain(ctx, req, func(r Report) error { return report(r.Devices) })
}

func (e explained) Explain(ctx context.Context, _ Request, report func(Report) error) error {
	for _, r := range e.reports {
		if err := report(r); err != nil {
			return err
		}
		synctest.Wait()
	}
	return errors.New("done")
}

// A note that changes alone is sent, the same one is not.
func TestWatchSendsNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		h := explained{[]Report{{Note: "a"}, {Note: "a"}, {Note: "b"}, {Devices: list("x"), Note: "b"}, {Devices: list("x")}}}
		err := watch(t.Context(), h, Request{}, func(r Report) error {
			notes = append(notes, fmt.Sprintf("%d %s", len(r.Devices), r.Note))
			return nil
		})
		if want := []string{"0 a", "0 b", "1 b", "1 "}; !slices.Equal(notes, want) || err == nil || err.Error() != "done" {
			t.Errorf("sent %q, want %q; %v", notes, want, err)
		}
	})
}

// What has departed is sent, also when the list is the same.
func TestWatchSendsDeparted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent [][]string
		h := explained{[]Report{{Devices: list("a")}, {Devices: list("a"), Departed: []string{"b"}},
			{Devices: list("a"), Departed: []string{"b"}}, {Devices: list("a"), Departed: []string{"b\xff"}}}}
		err := watch(t.Context(), h, Request{}, func(r Report) error {
			sent = append(sent, response(r).GetDeparted())
			return nil
		})
		want := [][]string{nil, {"b"}, {"b\uFFFD"}} // gRPC sends nothing that is not UTF-8
		if !slices.EqualFunc(sent, want, slices.Equal[[]string]) || err == nil || err.Error() != "done" {
			t.Errorf("sent %q, want %q; %v", sent, want, err)
		}
	})
}
