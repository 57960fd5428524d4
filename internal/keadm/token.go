package keadm

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/akri-go/akri/internal/cloud/cloudhub/trust"
)

// Tokens are the join tokens of a cluster.
type Tokens interface {
	CreateToken(ctx context.Context, node string, life time.Duration) (string, trust.Token, error)
	Tokens(ctx context.Context) ([]trust.Token, error)
	DeleteToken(ctx context.Context, id string) error
}

// Get makes a token and prints what say makes of it, alone on a line; what a
// person wants to know of it goes to notes.
func Get(ctx context.Context, t Tokens, node string, life time.Duration, say func(token string) string, out, notes io.Writer) error {
	text, token, err := t.CreateToken(ctx, node, life)
	if err != nil {
		return err
	}
	who := "the first new node that uses it"
	if node != "" {
		who = "node " + node
	}
	fmt.Fprintf(notes, "join token %s, for %s, until %s:\n", token.ID, who, token.Expires.Local().Format(time.DateTime))
	_, err = fmt.Fprintln(out, say(text))
	return err
}

// List prints the tokens that are good now.
func List(ctx context.Context, t Tokens, now time.Time, out, notes io.Writer) error {
	all, err := t.Tokens(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(notes, "there are no join tokens; keadm gettoken makes one")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNODE\tEXPIRES IN\tUSED")
	for _, token := range all {
		node, used := token.Node, "never"
		if node == "" {
			node = "any, once"
		}
		if !token.Used.IsZero() {
			used = token.Used.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", token.ID, node, token.Expires.Sub(now).Round(time.Minute), used)
	}
	return w.Flush()
}
