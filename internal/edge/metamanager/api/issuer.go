package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	edgev1 "github.com/akri-go/akri/api/edge/v1"
	"github.com/akri-go/akri/internal/edge/metamanager/store"
	"github.com/akri-go/akri/internal/edge/metamanager/tokens"
)

const (
	configurationPath = "/.well-known/openid-configuration"
	keysPath          = "/openid/v1/jwks"
	keysType          = "application/jwk-set+json" // the API server has it in no other
	// audiencesPath is where the store has the audiences of the API server. It is
	// no path of the API.
	audiencesPath = "audiences"

	// keysEvery bounds how often keys are asked for because of one account:
	// whoever is on the node can invent a key, and that there is none counts for
	// so long.
	keysEvery = 30 * time.Second
	// maxAskers bounds of how many accounts that is remembered, and maxKeyWaiting
	// how many requests wait for an answer.
	maxAskers     = 256
	maxKeyWaiting = 64
	// keysTimeout bounds it in time: somebody waits.
	keysTimeout = 10 * time.Second
	// keysAfter is how old keys may become while the cloud can be asked: one that
	// the cluster trusts no more is forgotten then.
	keysAfter = 24 * time.Hour
	// maxAccounts is how many accounts may be refused the keys in a row.
	maxAccounts = 3
)

// issuer is what is known of the cluster's issuer of tokens. What the store has
// of it is read when it is needed first.
type issuer struct {
	mu        sync.Mutex
	loaded    bool
	name      string
	keys      tokens.Keys
	fetched   time.Time
	audiences []string

	asking  chan struct{}        // closed when the cloud has answered; nil: it is not asked
	waiting int                  // for that
	asked   map[string]time.Time // when that was last, by who was the cause
}

// clusterKeys returns the keys of the cluster's issuer, and its name. If the key
// is not known, and the link is there, they are asked for in the name of the
// service account that uses it. So are old ones, by one request, for which others
// do not wait.
//
// cause is who is the cause: an account, of which nothing is proven yet. One that
// has invented a key has nobody ask for it in a while, and keeps no other waiting.
func (s *Server) clusterKeys(ctx context.Context, key, account, cause string) (tokens.Keys, string) {
	i := &s.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	s.loadLocked(ctx)
	for s.Cloud.Linked() {
		unknown := i.keys[key] == nil
		switch {
		case !unknown && time.Since(i.fetched).Abs() < keysAfter, i.asking != nil && !unknown:
			return i.keys, i.name
		case i.asking != nil:
			if !i.waitLocked(ctx) {
				return i.keys, i.name
			}
		case !i.mayAskLocked(cause, time.Now()):
			return i.keys, i.name
		default:
			s.askLocked(ctx, account)
		}
	}
	return i.keys, i.name
}

// waitLocked waits for the answer that is under way; false if that takes too long
// for ctx, or if too many wait. i.mu is not held meanwhile.
func (i *issuer) waitLocked(ctx context.Context) bool {
	if i.waiting >= maxKeyWaiting {
		return false
	}
	answered := i.asking
	i.waiting++
	i.mu.Unlock()
	defer func() { i.mu.Lock(); i.waiting-- }()
	select {
	case <-answered:
		return true
	case <-ctx.Done():
		return false
	}
}

// mayAskLocked reports whether the cloud may be asked because of somebody, and
// notes that it is.
func (i *issuer) mayAskLocked(cause string, now time.Time) bool {
	for who, at := range i.asked {
		if now.Sub(at) >= keysEvery {
			delete(i.asked, who)
		}
	}
	if _, recently := i.asked[cause]; recently || len(i.asked) >= maxAskers {
		return false
	}
	if i.asked == nil {
		i.asked = map[string]time.Time{}
	}
	i.asked[cause] = now
	return true
}

// loadLocked reads what the store has, once.
func (s *Server) loadLocked(ctx context.Context) {
	i := &s.issuer
	if i.loaded {
		return
	}
	i.loaded = true
	config, _ := s.Store.Blob(ctx, configurationPath, "application/json")
	set, ok := s.Store.Blob(ctx, keysPath, keysType)
	if name, keys, err := readIssuer(config.Body, set.Body); err == nil {
		i.name, i.keys, i.fetched = name, keys, set.Fetched
	} else if ok {
		s.Log.Warn("the stored keys of the cluster cannot be used; they are asked for again", "error", err)
	}
	if b, ok := s.Store.Blob(ctx, audiencesPath, ""); ok {
		_ = json.Unmarshal(b.Body, &i.audiences) // without, the issuer is the one
	}
}

// readIssuer reads an OpenID configuration and a key set.
func readIssuer(config, set []byte) (string, tokens.Keys, error) {
	var c struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(config, &c); err != nil || c.Issuer == "" {
		return "", nil, fmt.Errorf("%s names no issuer", configurationPath)
	}
	keys, err := tokens.ParseKeys(set)
	return c.Issuer, keys, err
}

// askLocked asks the cloud for the keys. Nobody does it already, and i.mu is not
// held meanwhile.
func (s *Server) askLocked(ctx context.Context, accounts ...string) {
	i := &s.issuer
	answered := make(chan struct{})
	i.asking = answered
	i.mu.Unlock()
	name, keys, fetched, err := s.askIssuer(ctx, accounts)
	i.mu.Lock()
	i.asking = nil
	close(answered)
	if err != nil {
		s.sparing.Log(s.Log, slog.LevelWarn, "the keys of the cluster's tokens cannot be had: Pods cannot use the local API "+
			"(ClusterRole system:service-account-issuer-discovery must be bound to group system:serviceaccounts)", "error", err)
		return
	}
	i.name, i.keys, i.fetched = name, keys, fetched
}

// askIssuer asks in the names of service accounts, until one is answered: the
// cluster gives the keys to those (ClusterRole
// system:service-account-issuer-discovery), but not to nodes.
func (s *Server) askIssuer(ctx context.Context, accounts []string) (name string, keys tokens.Keys, fetched time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	defer cancel()
	for _, account := range accounts[:min(len(accounts), maxAccounts)] {
		var config, set store.Blob
		as := edgev1.As{ServiceAccount: account}
		if config, err = s.blob(ctx, as, configurationPath, "", "application/json"); err != nil {
			continue
		}
		if set, err = s.blob(ctx, as, keysPath, "", keysType); err != nil {
			continue
		}
		if name, keys, err = readIssuer(config.Body, set.Body); err == nil {
			return name, keys, set.Fetched, nil
		}
	}
	return "", nil, time.Time{}, err
}

// prefetchKeys has the keys in the store before the link is cut.
func (s *Server) prefetchKeys(ctx context.Context) {
	b, ok := s.Store.Blob(ctx, keysPath, keysType)
	if s.Signer == nil || ok && time.Since(b.Fetched).Abs() < keysAfter {
		return
	}
	accounts := s.accounts()
	i := &s.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	s.loadLocked(ctx)
	if len(accounts) > 0 && i.asking == nil {
		s.askLocked(ctx, accounts...)
	}
}

// audiences are those of tokens for the API server.
func (s *Server) audiences() []string {
	i := &s.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	s.loadLocked(context.Background())
	switch {
	case len(i.audiences) > 0:
		return i.audiences
	case i.name != "":
		return []string{i.name}
	}
	return []string{tokens.Issuer} // the cluster has none yet that could be used here
}

// setAudiences notes the audiences of a token for which none were asked.
func (s *Server) setAudiences(ctx context.Context, audiences []string) {
	i := &s.issuer
	i.mu.Lock()
	s.loadLocked(ctx)
	same := slices.Equal(i.audiences, audiences)
	i.audiences = audiences
	i.mu.Unlock()
	body, err := json.Marshal(audiences)
	if same || err != nil {
		return
	}
	if err := s.Store.SetBlob(ctx, audiencesPath, "", store.Blob{Type: "application/json", Fetched: time.Now(),
		Body: body}); err != nil {
		s.Log.Debug("the audiences of the API server are not stored", "error", err)
	}
}
