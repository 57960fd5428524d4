package dashboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/akri-go/akri/bounded"
	"github.com/akri-go/akri/internal/logging"
)

const (
	// minTokenBytes is how long a token must be, so that nobody guesses it.
	minTokenBytes = 16
	maxTokenBytes = 1024
	cookieName    = "akri-dashboard"
)

// access decides who may look.
//
// With a token, whoever has it. Without one, whoever reaches the loopback of the
// Pod, which takes the right to forward a port to it. Then a page of somebody else
// that is open in the same browser must not get an answer: it would have to use a
// host name of its own (DNS rebinding), so only names of the loopback are served.
type access struct {
	tokenFile string // "" for none
	log       *slog.Logger
	failed    logging.Sparing
}

// errNoToken is what is wrong with a request.
var errNoToken = errors.New("this needs the token")

// readToken reads the token; each time, since the Secret may change.
func readToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < minTokenBytes || len(token) > maxTokenBytes {
		return "", fmt.Errorf("the token in %s has %d characters: use at least %d, such as those of `openssl rand -hex 16`",
			file, len(token), minTokenBytes)
	}
	return token, nil
}

// session is what a browser keeps instead of the token. It ends when the token
// changes.
func session(token string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("akri-dashboard session"))
	return hex.EncodeToString(mac.Sum(nil))
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// check returns why a request may not read, nil if it may.
func (a *access) check(r *http.Request) error {
	if a.tokenFile == "" {
		return nil
	}
	token, err := readToken(a.tokenFile)
	if err != nil {
		return err
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && same(given, token) {
		return nil
	}
	if c, err := r.Cookie(cookieName); err == nil && same(c.Value, session(token)) {
		return nil
	}
	return errNoToken
}

// guard lets only those through who may read.
func (a *access) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch err := a.check(r); {
		case errors.Is(err, errNoToken):
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case err != nil:
			a.failed.Log(a.log, slog.LevelError, "nobody can look at the dashboard", "error", err)
			http.Error(w, "the dashboard's token cannot be used; its log says why", http.StatusInternalServerError)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hosts lets only requests through that name the loopback, if there is no token.
func (a *access) hosts(next http.Handler) http.Handler {
	if a.tokenFile != "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			http.Error(w, "without a token this is served at localhost only: use kubectl port-forward", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopback reports whether a Host header names the loopback.
func loopback(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// login gives a browser a session for the token.
func (a *access) login(w http.ResponseWriter, r *http.Request) {
	if a.tokenFile == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 2*maxTokenBytes)
	given := strings.TrimSpace(r.PostFormValue("token"))
	token, err := readToken(a.tokenFile)
	switch {
	case err != nil:
		a.failed.Log(a.log, slog.LevelError, "nobody can look at the dashboard", "error", err)
		http.Error(w, "the dashboard's token cannot be used; its log says why", http.StatusInternalServerError)
	case !same(given, token):
		a.failed.Log(a.log, slog.LevelWarn, "somebody gave a wrong token", "peer", bounded.Peer(r))
		http.Error(w, "this is not the token", http.StatusForbidden)
	default:
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: session(token), Path: "/", HttpOnly: true,
			SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"})
		w.WriteHeader(http.StatusNoContent)
	}
}
