//go:build integration

package controller_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v0 "github.com/akri-go/akri/api/v0"
	"github.com/akri-go/akri/internal/controller"
)

// processVariable names the kubeconfig of a controller that is a process.
const processVariable = "AKRI_TEST_CONTROLLER_KUBECONFIG"

// podVariable names the Pod that such a process claims to be in.
const podVariable = "AKRI_TEST_CONTROLLER_POD"

// leaseVariable is the duration of its Lease.
const leaseVariable = "AKRI_TEST_CONTROLLER_LEASE"

// runProcess is the controller in a process of its own; it returns the exit
// code.
func runProcess(kubeconfig string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	lease, err := time.ParseDuration(cmp.Or(os.Getenv(leaseVariable), "9s"))
	if err != nil {
		log.Error("bad "+leaseVariable, "error", err)
		return 2
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err == nil {
		var mgr interface{ Start(context.Context) error }
		mgr, err = controller.New(context.Background(), controller.Options{
			Config: cfg, Log: log, MetricsAddress: "0", ProbeAddress: "0",
			LeaderElection: true, Namespace: "default", LeaseDuration: lease,
			Pod: controller.Pod{Name: os.Getenv(podVariable), UID: types.UID(os.Getenv(podVariable))},
		})
		if err == nil {
			err = mgr.Start(context.Background())
		}
	}
	log.Error("the controller ends", "error", err)
	return 1
}

// process is a controller in a process of its own.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

func (c *fixture) process(t *testing.T, env ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	tls := c.cfg.TLSClientConfig
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: c.cfg.Host, CertificateAuthorityData: tls.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificateData: tls.CertData, ClientKeyData: tls.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(self), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), processVariable+"="+file)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, c.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its exit code is in ProcessState
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// lease reads the controllers' Lease.
func (s *space) lease() *coordinationv1.Lease {
	s.t.Helper()
	l := &coordinationv1.Lease{}
	s.eventually("Lease", func() error {
		if err := s.admin.Get(s.t.Context(), client.ObjectKey{Namespace: "default", Name: controller.LeaseName}, l); err != nil {
			return err
		}
		if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" {
			return fmt.Errorf("nobody has it")
		}
		return nil
	})
	return l
}

// made counts how often objects of a name are created from now on.
func (s *space) made(list client.ObjectList) func(name string) int {
	s.t.Helper()
	watcher, err := client.NewWithWatch(s.server.Config, client.Options{Scheme: s.admin.Scheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := watcher.Watch(s.t.Context(), list, client.InNamespace(s.ns))
	if err != nil {
		s.t.Fatal(err)
	}
	var mu sync.Mutex
	count := map[string]int{}
	go func() {
		for e := range w.ResultChan() {
			if o, ok := e.Object.(client.Object); ok && e.Type == watch.Added {
				mu.Lock()
				count[o.GetName()]++
				mu.Unlock()
			}
		}
	}()
	s.t.Cleanup(w.Stop)
	return func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return count[name]
	}
}

// The leader is killed in the middle of its work and cannot release its Lease.
// The other replica takes over and does what is left, once.
func testLeaderKilled(t *testing.T) {
	c := fixtureOf(t, shared.Start(t))
	c.nodes(t, "node-a")
	s := c.space(t, "killed")
	first := c.process(t)
	holder := *s.lease().Spec.HolderIdentity
	second := c.process(t)

	conf := s.configuration("cam", brokerSpec)
	jobs := s.configuration("job", jobSpec)
	s.instance(conf, "cam-ffffff", 1, false, "node-a")
	s.instance(jobs, "job-ffffff", 1, false, "node-a")
	s.pod("cam-ffffff-pod")
	s.eventually("Job", func() error {
		return s.admin.Get(t.Context(), client.ObjectKey{Namespace: s.ns, Name: "job-ffffff-1-job"}, &batchv1.Job{})
	})
	pods, batch := s.made(&corev1.PodList{}), s.made(&batchv1.JobList{})

	const n = 20
	for i := range n {
		s.instance(conf, fmt.Sprintf("cam-%06x", i), 1, false, "node-a")
		s.instance(jobs, fmt.Sprintf("job-%06x", i), 1, false, "node-a")
		if i == n/2 {
			first.kill()
		}
	}
	unplugged := &v0.Instance{}
	s.get("cam-000003", unplugged)
	if err := s.admin.Delete(t.Context(), unplugged); err != nil {
		t.Fatal(err)
	}
	s.eventually("the other has the Lease", func() error {
		if l := s.lease(); *l.Spec.HolderIdentity == holder {
			return fmt.Errorf("the dead one has it, renewed %s", l.Spec.RenewTime)
		}
		return nil
	})
	for i := range n {
		pod, job := fmt.Sprintf("cam-%06x-pod", i), fmt.Sprintf("job-%06x-1-job", i)
		s.eventually("Job "+job, func() error {
			return s.admin.Get(t.Context(), client.ObjectKey{Namespace: s.ns, Name: job}, &batchv1.Job{})
		})
		if i == 3 {
			s.gone(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: pod}})
			continue
		}
		s.pod(pod)
	}
	for i := range n {
		pod, job := fmt.Sprintf("cam-%06x-pod", i), fmt.Sprintf("job-%06x-1-job", i)
		s.eventually("the counts", func() error {
			if i != 3 && pods(pod) == 0 || batch(job) == 0 {
				return fmt.Errorf("%s and %s not counted", pod, job)
			}
			return nil
		})
		if pods(pod) > 1 || batch(job) != 1 {
			t.Errorf("%s was made %d times, %s %d times", pod, pods(pod), job, batch(job))
		}
	}
	if pods("cam-ffffff-pod")+batch("job-ffffff-1-job") != 2 { // as the watches began
		t.Error("the new leader made again what was there")
	}

	// Somebody else takes the Lease: the process ends, so that two never do the
	// same work.
	s.eventually("the Lease is taken away", func() error {
		l, thief := s.lease(), "thief"
		l.Spec.HolderIdentity = &thief
		return s.admin.Update(t.Context(), l)
	})
	select {
	case <-second.done:
		if code := second.cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
	case <-time.After(waitTimeout):
		t.Error("it goes on without the Lease")
	}
}

// A replica whose container restarts has its Lease at once, and the Lease is
// deleted with its Pod.
func testLeaseIsThePods(t *testing.T) {
	c := fixtureOf(t, shared.Start(t))
	s := c.space(t, "lease")
	env := []string{podVariable + "=pod-a", leaseVariable + "=1h"} // nobody gets it by waiting
	first := c.process(t, env...)
	before := s.lease()
	if *before.Spec.HolderIdentity != "pod-a" {
		t.Errorf("%s has the Lease, want the Pod", *before.Spec.HolderIdentity)
	}
	want := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "pod-a", UID: "pod-a"}}
	if !slices.Equal(before.OwnerReferences, want) {
		t.Errorf("the Lease is owned by %v, want %v", before.OwnerReferences, want)
	}
	first.kill()
	c.process(t, env...)
	s.eventually("the Lease is renewed", func() error {
		if l := s.lease(); l.Spec.RenewTime.Equal(before.Spec.RenewTime) {
			return fmt.Errorf("renewed %v, as before", l.Spec.RenewTime)
		}
		return nil
	})
}
