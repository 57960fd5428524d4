package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/akri-go/akri/internal/backoff"
	"github.com/akri-go/akri/internal/certs"
	"github.com/akri-go/akri/internal/logging"
)

const (
	// refreshInterval is how often a keeper looks at the Store: so long it takes
	// until all replicas know of a reset.
	refreshInterval = 10 * time.Second
	refreshTimeout  = 30 * time.Second
	// maxTries is how often a change is made anew because another one came first.
	maxTries = 8

	// TokenLifetime is how long a token is good if nothing else is wanted, and
	// MaxTokenLifetime the longest.
	TokenLifetime    = 24 * time.Hour
	MaxTokenLifetime = 30 * 24 * time.Hour
)

// ErrConflict is that of [Store.Write] for data that has changed since it was
// read.
var ErrConflict = errors.New("it has changed meanwhile")

// Store keeps data for all replicas.
type Store interface {
	// Read returns the data and its version.
	Read(ctx context.Context) (data map[string][]byte, version string, err error)
	// Write replaces the data if it still has that version, else it fails with
	// [ErrConflict]. It returns the new version.
	Write(ctx context.Context, data map[string][]byte, version string) error
}

// Nodes tells what the cluster knows of a node.
type Nodes interface {
	Node(ctx context.Context, name string) (NodeState, error)
}

// Keeper answers for what is in a Store. Programs that only make tokens or reset
// nodes need not call Run.
type Keeper struct {
	store   Store
	nodes   Nodes
	log     *slog.Logger
	now     func() time.Time
	present atomic.Pointer[present]
}

// present is what was last read.
type present struct {
	*state
	tls *tls.Config
}

// New returns a keeper. nodes may be nil where no certificates are signed with
// tokens.
func New(store Store, nodes Nodes, log *slog.Logger) *Keeper {
	return &Keeper{store: store, nodes: nodes, log: log, now: time.Now}
}

// Run looks at the Store again and again until ctx is done, and renews what must
// be renewed. Call [Keeper.Refresh] before, to have something at once.
func (k *Keeper) Run(ctx context.Context) error {
	problem := logging.Problem{What: "cannot read who may connect: what was last read counts"}
	for backoff.Sleep(ctx, refreshInterval) == nil {
		if err := k.Refresh(ctx); ctx.Err() == nil {
			problem.Is(k.log, err)
		}
	}
	return nil
}

// Refresh looks at the Store now.
func (k *Keeper) Refresh(ctx context.Context) error {
	_, err := k.change(ctx, nil)
	return err
}

// change reads the Store, makes a change and writes it, again if another change
// came first. A nil change only renews.
func (k *Keeper) change(ctx context.Context, f func(*state) error) (*state, error) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	for try := 1; ; try++ {
		s, err := k.try(ctx, f)
		if err == nil || !errors.Is(err, ErrConflict) || try == maxTries {
			return s, err
		}
	}
}

func (k *Keeper) try(ctx context.Context, f func(*state) error) (*state, error) {
	data, version, err := k.store.Read(ctx)
	if err != nil {
		return nil, err
	}
	s, changed, err := plan(k.now(), data)
	if err != nil {
		return nil, err
	}
	if f != nil {
		if err := f(s); err != nil {
			return nil, err
		}
		changed = true
	}
	config, err := s.serverTLS()
	if err != nil {
		return nil, err
	}
	if changed {
		out, err := s.encode()
		if err != nil {
			return nil, err
		}
		if err := k.store.Write(ctx, out, version); err != nil {
			return nil, err
		}
	}
	k.present.Store(&present{state: s, tls: config})
	return s, nil
}

var errNotYet = errors.New("the certificates have not been read yet")

// ServerTLS returns cloudcore's certificate and the authorities of edge nodes.
func (k *Keeper) ServerTLS() (*tls.Config, error) {
	if p := k.present.Load(); p != nil {
		return p.tls, nil
	}
	return nil, errNotYet
}

// Revoked reports whether a node was reset after its certificate was signed.
func (k *Keeper) Revoked(node string, c *x509.Certificate) bool {
	p := k.present.Load()
	return p == nil || p.revoked(node, c)
}

// Bundle returns the certificates of the authorities, in PEM.
func (k *Keeper) Bundle() ([]byte, error) {
	if p := k.present.Load(); p != nil {
		return p.data[certs.Bundle], nil
	}
	return nil, errNotYet
}

// ValidLifetime says whether a token may be good for so long.
func ValidLifetime(life time.Duration) error {
	if life < time.Minute || life > MaxTokenLifetime {
		return fmt.Errorf("a token can be good for 1m to %s, not for %s", MaxTokenLifetime, life)
	}
	return nil
}

// CreateToken makes a token for a node; an empty name is for the first new one.
// A life of 0 is [TokenLifetime]. It returns the token's text, which can be had
// only now.
func (k *Keeper) CreateToken(ctx context.Context, node string, life time.Duration) (string, Token, error) {
	if life == 0 {
		life = TokenLifetime
	}
	if err := ValidLifetime(life); err != nil {
		return "", Token{}, err
	}
	if node != "" {
		if err := ValidNode(node); err != nil {
			return "", Token{}, err
		}
	}
	t, err := newToken(k.now(), node, life)
	if err != nil {
		return "", Token{}, err
	}
	s, err := k.change(ctx, func(s *state) error {
		if len(s.tokens) >= maxTokens {
			return fmt.Errorf("there are %d join tokens: delete some", len(s.tokens))
		}
		s.tokens = append(s.tokens, t)
		return nil
	})
	if err != nil {
		return "", Token{}, err
	}
	print, err := s.fingerprint()
	if err != nil {
		return "", Token{}, err
	}
	jwt, err := sign(s.data[tokenKey], t)
	return print + "." + jwt, t, err
}

// Tokens lists the tokens that are good now, the oldest first.
func (k *Keeper) Tokens(ctx context.Context) ([]Token, error) {
	s, err := k.change(ctx, nil)
	if err != nil {
		return nil, err
	}
	return slices.Clone(s.tokens), nil
}

// DeleteToken deletes a token: nobody can join with it any more.
func (k *Keeper) DeleteToken(ctx context.Context, id string) error {
	_, err := k.change(ctx, func(s *state) error {
		i := slices.IndexFunc(s.tokens, func(t Token) bool { return t.ID == id })
		if i < 0 {
			return fmt.Errorf("there is no join token %q", id)
		}
		s.tokens = slices.Delete(s.tokens, i, i+1)
		return nil
	})
	return err
}

// Reset makes all certificates useless that a node has so far, and its tokens.
// The hub ends its session within seconds.
func (k *Keeper) Reset(ctx context.Context, node string) error {
	if err := ValidNode(node); err != nil {
		return err
	}
	_, err := k.change(ctx, func(s *state) error {
		s.resets[node] = k.now().UTC().Truncate(time.Second)
		s.tokens = slices.DeleteFunc(s.tokens, func(t Token) bool { return t.Node == node })
		return nil
	})
	return err
}

// Resets lists the nodes that were reset, with when that was.
func (k *Keeper) Resets(ctx context.Context) (map[string]time.Time, error) {
	s, err := k.change(ctx, nil)
	if err != nil {
		return nil, err
	}
	return maps.Clone(s.resets), nil
}

// Join signs the certificate of a node that has a token. A [*RefusedError] says
// why it gets none.
func (k *Keeper) Join(ctx context.Context, csrPEM []byte, token string) (*x509.Certificate, error) {
	p := k.present.Load()
	if p == nil {
		return nil, errNotYet
	}
	// Without a look at the Store: anybody can send nonsense.
	c, err := verify(k.now(), p.data[tokenKey], token)
	if err != nil {
		return nil, err
	}
	csr, node, err := parseCSR(csrPEM)
	if err != nil {
		return nil, err
	}
	is, err := k.nodes.Node(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("ask whether there is a node %q: %w", node, err)
	}
	var cert *x509.Certificate
	_, err = k.change(ctx, func(s *state) error {
		i, err := may(s.tokens, c.ID, node, is)
		if err != nil {
			return err
		}
		// From now on it is that node's: so a node whose answer was lost can ask
		// again.
		s.tokens[i].Node, s.tokens[i].Used = node, k.now().UTC().Truncate(time.Second)
		cert, err = s.issue(k.now(), csr, node)
		return err
	})
	return cert, err
}

// Renew signs the next certificate of a node, whose present one the connection
// has shown to be good.
func (k *Keeper) Renew(ctx context.Context, csrPEM []byte, has *x509.Certificate) (*x509.Certificate, error) {
	csr, node, err := parseCSR(csrPEM)
	if err != nil {
		return nil, err
	}
	if has.Subject.CommonName != nodePrefix+node {
		return nil, refuse("the certificate is that of %.100q: it cannot be renewed for node %q",
			has.Subject.CommonName, node)
	}
	s, err := k.change(ctx, nil) // a reset may be newer than what was last read
	if err != nil {
		return nil, err
	}
	if s.revoked(node, has) {
		return nil, refuse("node %q was reset: join it again with a new token", node)
	}
	return s.issue(k.now(), csr, node)
}
