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

// Everybody on the Pod network can reach the webhook, and only its address
// distinguishes the API server. So a review needs a place before its body is
// read, and places are shared fairly between addresses. All reviews of an API
// server come from one address, which can have most of the places while nobody
// else needs any.
const (
	// maxReviewBytes is the longest body. An object has at most 1.5 MiB in
	// etcd, and a review has the new and the old one.
	maxReviewBytes = 4 << 20
	// maxSpecBytes is the longest spec that is checked: decoded it takes up to
	// a hundred times its length.
	maxSpecBytes = 512 << 10
	// Of small reviews many are handled at a time, of big ones few.
	maxSmallReviewBytes                    = 64 << 10
	maxReviews, maxReviewsPerAddress       = 8, 6
	maxBigReviews, maxBigReviewsPerAddress = 2, 1
	placeTimeout                           = 2 * time.Second
	bodyTimeout                            = time.Second
	answerTimeout                          = reviewTimeout - 500*time.Millisecond
)

// server serves the webhook in every replica, before the cache is filled: the
// manager does this for any [webhook.Server].
type server struct {
	webhook.Server // used for its metrics only: it has no limits
	address        string
	certificate    func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	log            *slog.Logger

	serving atomic.Bool
}

// Start serves until ctx is done.
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

// limited passes reviews to next when there is a place for them, and limits
// their length and how long they may take to arrive.
func limited(next http.Handler) http.Handler {
	all, big := bounded.NewGate(maxReviews, maxReviewsPerAddress), bounded.NewGate(maxBigReviews, maxBigReviewsPerAddress)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		switch {
		case r.Method != http.MethodPost:
			http.Error(w, "use POST", http.StatusMethodNotAllowed)
			return
		case r.ContentLength < 0:
			http.Error(w, "Content-Length is required", http.StatusLengthRequired)
			return
		case r.ContentLength > maxReviewBytes:
			http.Error(w, fmt.Sprintf("a review has at most %d bytes", maxReviewBytes), http.StatusRequestEntityTooLarge)
			return
		}
		ctx, cancel := context.WithDeadline(r.Context(), arrived.Add(answerTimeout))
		defer cancel()
		gates := []*bounded.Gate{all}
		if r.ContentLength > maxSmallReviewBytes {
			gates = []*bounded.Gate{big, all} // while it waits for big it holds no other place
		}
		for _, g := range gates {
			waiting, cancel := context.WithDeadline(ctx, arrived.Add(placeTimeout))
			leave, err := g.Enter(waiting, bounded.Peer(r))
			cancel()
			if err != nil {
				http.Error(w, "too many reviews at once: try again", http.StatusTooManyRequests)
				return
			}
			defer leave()
		}
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
			http.Error(w, "no deadline can be set", http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
