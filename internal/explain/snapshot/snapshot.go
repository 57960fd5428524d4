package snapshot

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/akri-go/akri/internal/explain"
)

const (
	// Timeout is how long reading may take in all.
	Timeout = time.Minute
	// pageSize is how many objects are asked for at a time, and maxObjects how
	// many of a kind are looked at.
	pageSize   = 500
	maxObjects = 20_000
)

// Options say what to read.
type Options struct {
	// Namespace is read if the user may not list objects of all namespaces.
	Namespace string
	// Pod is read even if it has nothing to do with devices; without a
	// namespace, all Pods of this name.
	Pod explain.Subject
}

// reader reads one snapshot.
type reader struct {
	api client.Reader
	Options
	pageSize, most int
	out            explain.Cluster
}

// Read reads a cluster. It fails if the API server does not answer; what it
// forbids is in Unseen.
func Read(ctx context.Context, api client.Reader, now func() time.Time, o Options) (explain.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r := &reader{api: api, Options: o, pageSize: pageSize, most: maxObjects}
	for _, s := range Sources(o.Pod) {
		if err := r.read(ctx, s); err != nil {
			return explain.Cluster{}, fmt.Errorf("read the cluster: list %s: %w", s.What, err)
		}
	}
	r.out.Now = now()
	return r.out, nil
}

func (r *reader) unseen(what, why string) {
	r.out.Unseen = append(r.out.Unseen, explain.Unseen{What: what, Why: why})
}

// read adds the objects of a source.
func (r *reader) read(ctx context.Context, s Source) error {
	err := r.pages(ctx, s)
	if r.Namespace != "" && apierrors.IsForbidden(err) && s.Namespaced() {
		why := OnlyIn(r.Namespace, err)
		if err = r.pages(ctx, s, client.InNamespace(r.Namespace)); err == nil {
			r.unseen(s.What, why)
		}
	}
	switch {
	case apierrors.IsForbidden(err):
		r.unseen(s.What, Refusal(err))
		return nil
	case meta.IsNoMatchError(err):
		return nil // there is no such kind, so there are none
	}
	return err
}

// Refusal is what the API server says of a read that it forbids.
func Refusal(err error) string {
	_, text, ok := strings.Cut(err.Error(), "is forbidden: ")
	if !ok {
		text = err.Error()
	}
	return text
}

// OnlyIn says why the objects of one namespace alone were read: the error is what
// reading all of them came to.
func OnlyIn(namespace string, err error) string {
	return fmt.Sprintf("only those in namespace %s: %s", namespace, Refusal(err))
}

func (r *reader) pages(ctx context.Context, s Source, more ...client.ListOption) error {
	options := append([]client.ListOption{client.Limit(int64(r.pageSize))}, s.Options...)
	options = append(options, more...)
	next := ""
	for seen := 0; ; {
		list := s.List()
		if err := r.api.List(ctx, list, append(options, client.Continue(next))...); err != nil {
			if seen > 0 && apierrors.IsResourceExpired(err) {
				r.unseen(s.What, "they changed while they were read")
				return nil
			}
			return err
		}
		if err := meta.EachListItem(list, func(o runtime.Object) error { r.add(s, o); return nil }); err != nil {
			return err
		}
		seen += meta.LenList(list)
		next = list.GetContinue()
		switch {
		case next == "":
			return nil
		case seen >= r.most:
			r.unseen(s.What, fmt.Sprintf("only the first %d were looked at", seen))
			return nil
		}
	}
}

func (r *reader) add(s Source, o runtime.Object) {
	object, ok := o.(client.Object)
	if !ok {
		return
	}
	if kept := s.Keep(object); kept != nil {
		s.Add(&r.out, kept)
	}
}
