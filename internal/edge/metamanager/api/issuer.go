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

	// keysEvery bounds how often keys are asked for that are not known: whoever
	// is on the node can invent a key.
	keysEvery = 30 * time.Second
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
	asking sync.Mutex // held while the cloud is asked
	asked  time.Time  // when that was last; under asking

	mu        sync.Mutex
	loaded    bool
	name      string
	keys      tokens.Keys
	fetched   time.Time
	audiences []string
}

// clusterKeys returns the keys of the cluster's issuer, and its name. If the key
// is not known, and the link is there, they are asked for in the name of the
// service account that uses it. So are old ones, by one request, for which others
// do not wait.
func (s *Server) clusterKeys(ctx context.Context, key, account string) (tokens.Keys, string) {
	i := &s.issuer
	known := func() (keys tokens.Keys, name string, old bool) {
		i.mu.Lock()
		defer i.mu.Unlock()
		s.loadLocked(ctx)
		return i.keys, i.name, time.Since(i.fetched).Abs() >= keysAfter
	}
	keys, name, old := known()
	unknown := keys[key] == nil
	if !s.Cloud.Linked() || !unknown && !old {
		return keys, name
	}
	if unknown {
		i.asking.Lock()
	} else if !i.asking.TryLock() {
		return keys, name
	}
	defer i.asking.Unlock()
	s.askLocked(ctx, account)
	keys, name, _ = known()
	return keys, name
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

// askLocked asks the cloud for the keys in the names of service accounts: the
// cluster gives them to those (ClusterRole
// system:service-account-issuer-discovery), but not to nodes.
func (s *Server) askLocked(ctx context.Context, accounts ...string) {
	i := &s.issuer
	if !i.asked.IsZero() && time.Since(i.asked) < keysEvery {
		return
	}
	i.asked = time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	defer cancel()
	var err error
	for _, account := range accounts[:min(len(accounts), maxAccounts)] {
		var config, set store.Blob
		as := edgev1.As{ServiceAccount: account}
		if config, err = s.blob(ctx, as, configurationPath, "", "application/json"); err != nil {
			continue
		}
		if set, err = s.blob(ctx, as, keysPath, "", keysType); err != nil {
			continue
		}
		var name string
		var keys tokens.Keys
		if name, keys, err = readIssuer(config.Body, set.Body); err == nil {
			i.mu.Lock()
			s.loadLocked(ctx)
			i.name, i.keys, i.fetched = name, keys, set.Fetched
			i.mu.Unlock()
			return
		}
	}
	if err != nil {
		s.sparing.Log(s.Log, slog.LevelWarn, "the keys of the cluster's tokens cannot be had: Pods cannot use the local API "+
			"(ClusterRole system:service-account-issuer-discovery must be bound to group system:serviceaccounts)", "error", err)
	}
}

// prefetchKeys has the keys in the store before the link is cut.
func (s *Server) prefetchKeys(ctx context.Context) {
	b, ok := s.Store.Blob(ctx, keysPath, keysType)
	if s.Signer == nil || ok && time.Since(b.Fetched).Abs() < keysAfter {
		return
	}
	if accounts := s.accounts(); len(accounts) > 0 {
		s.issuer.asking.Lock()
		defer s.issuer.asking.Unlock()
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
