//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A device that is plugged in again within its grace period may have another
// number. Its Instance stays; its broker is made again, with the new device node.
func TestPluggedInUnderAnotherNumber(t *testing.T) {
	ns := namespace(t)
	first, second := plug(t), plug(t)
	h := startForeign(t, "e2e-replug", "")
	eventually(t, waitTimeout, h.Says("registered"))
	add := func(device string) { h.do(fmt.Sprintf("add stick UDEV_DEVNODE=/dev/%[1]s node:/dev/%[1]s", device)) }
	add(first)
	c := foreignConfiguration(ns, "e2e-replug", "e2e-replug")
	c.Spec.DiscoveryHandler.OfflineGracePeriod = &metav1.Duration{Duration: time.Minute}
	running(t, c, 1)
	instances, err := instancesOf(t.Context(), ns, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := brokersOf(t.Context(), ns, c.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := show(t, &pods[0]).opened("/dev/" + first); err != nil {
		t.Fatal(err)
	}

	h.do("remove stick")
	unplug(t, first)
	add(second)
	old := pods[0].UID
	eventually(t, waitTimeout, func(ctx context.Context) (err error) {
		if pods, err = brokersOf(ctx, ns, c.Name); err != nil {
			return err
		}
		if len(pods) != 1 || pods[0].UID == old || !isReady(&pods[0]) {
			return errors.New("the broker has not been replaced")
		}
		return nil
	})
	given := show(t, &pods[0])
	if err := given.opened("/dev/" + second); err != nil || given.Env["UDEV_DEVNODE"] != "/dev/"+second {
		t.Errorf("the new broker has UDEV_DEVNODE=%s; %v", given.Env["UDEV_DEVNODE"], err)
	}
	eventually(t, waitTimeout, func(ctx context.Context) error {
		now, err := instancesOf(ctx, ns, c.Name)
		if err != nil {
			return err
		}
		if len(now) != 1 || now[0].UID != instances[0].UID {
			return errors.New("the Instance was replaced")
		}
		if n := now[0].Status.Nodes; len(n) > 0 {
			return fmt.Errorf("its status still says %+v", n)
		}
		return event(ns, now[0].Name, "DeviceChanged")(ctx)
	})
}
