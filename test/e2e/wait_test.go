//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/test/testcluster"
)

// Short names for what all tests here use of testcluster.

const waitTimeout = testcluster.WaitTimeout

func eventually(t *testing.T, within time.Duration, check testcluster.Check) {
	t.Helper()
	testcluster.Eventually(t, within, check)
}

func throughout(t *testing.T, length time.Duration, check testcluster.Check) {
	t.Helper()
	testcluster.Throughout(t, length, check)
}

func both(checks ...testcluster.Check) testcluster.Check { return testcluster.All(checks...) }

func namespace(t *testing.T) string {
	t.Helper()
	return bed.NewNamespace(t)
}

func instancesOf(ctx context.Context, ns, configuration string) ([]v0.Instance, error) {
	return bed.Instances(ctx, ns, configuration)
}

func brokersOf(ctx context.Context, ns, configuration string) ([]corev1.Pod, error) {
	return bed.Brokers(ctx, ns, configuration)
}

func hasInstances(ns, configuration string, n int) testcluster.Check {
	return bed.HasInstances(ns, configuration, n)
}

func hasBrokers(ns, configuration string, n int) testcluster.Check {
	return bed.HasBrokers(ns, configuration, n)
}

func offers(name string, n int64) testcluster.Check { return bed.Offers(name, n) }

func isReady(p *corev1.Pod) bool { return testcluster.IsReady(p) }

func gone(err error) error {
	if err == nil {
		return fmt.Errorf("it is still there")
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
