package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/akri-go/akri/bounded"
)

// Everybody on the Pod network can reach the webhook, and nothing but its
// address tells the API server from others. So a review takes a place before
// its body is read, and places are shared fairly between addresses. All reviews
// of an API server come from one address, which so has most of the places while
// nobody else asks.
const (
	// maxReview is the longest body. An object has at most 1.5 MiB in etcd, and
	// a review has the new and the old one.
	maxReview = 4 << 20
	// maxSpec is the longest spec that is looked into: decoded it takes up to a
	// hundred times its length.
	maxSpec = 512 << 10
	// small reviews are worked on many at a time, big ones few.
	small              = 64 << 10
	atOnce, ofOne      = 8, 6
	bigOnes, bigsOfOne = 2, 1
	waitForPlace       = 2 * time.Second
	waitForBody        = time.Second
	answerAtLatest     = timeout - 500*time.Millisecond
)

// server serves the webhook in every replica, from before the cache is filled:
// the manager does so with what is a [webhook.Server].
type server struct {
	webhook.Server // of the library's only what it measures is used: it has no limits
	address        string
	certificate    func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	log            *slog.Logger

	serving atomic.Bool
}

// Start serves until the context ends.
func (s *server) Start(ctx context.Context) error {
	listener, err := bounded.Listen(ctx, s.address, bounded.Limits{})
	if err != nil {
		return fmt.Errorf("serve the admission webhook: %w", err)
	}
	s.serving.Store(true)
	defer s.serving.Store(false)
	err = bounded.Serve(ctx, listener, &http.Server{
		Handler:   s.WebhookMux(),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate},
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	})
	if err != nil {
		return fmt.Errorf("serve the admission webhook: %w", err)
	}
	return nil
}

func (s *server) ready() error {
	if !s.serving.Load() {
		return errors.New("the admission webhook is not served yet")
	}
	return nil
}

// limited lets reviews through to next when there is a place for them, and
// bounds how long they are and how long they may take to arrive.
func limited(next http.Handler) http.Handler {
	all, big := bounded.NewGate(atOnce, ofOne), bounded.NewGate(bigOnes, bigsOfOne)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		switch {
		case r.Method != http.MethodPost:
			http.Error(w, "reviews come by POST", http.StatusMethodNotAllowed)
			return
		case r.ContentLength < 0:
			http.Error(w, "how long is it?", http.StatusLengthRequired)
			return
		case r.ContentLength > maxReview:
			http.Error(w, fmt.Sprintf("a review has at most %d bytes", maxReview), http.StatusRequestEntityTooLarge)
			return
		}
		ctx, cancel := context.WithDeadline(r.Context(), arrived.Add(answerAtLatest))
		defer cancel()
		gates := []*bounded.Gate{all}
		if r.ContentLength > small {
			gates = []*bounded.Gate{big, all} // whoever waits for big holds no other place
		}
		for _, g := range gates {
			waiting, cancel := context.WithDeadline(ctx, arrived.Add(waitForPlace))
			leave, err := g.Enter(waiting, bounded.Peer(r))
			cancel()
			if err != nil {
				http.Error(w, "too many reviews at once: try again", http.StatusTooManyRequests)
				return
			}
			defer leave()
		}
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(waitForBody)); err != nil {
			http.Error(w, "no deadline can be set", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
