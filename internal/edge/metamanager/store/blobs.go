package store

import (
	"context"
	"slices"
	"strings"
	"time"
)

// What blobs may take: one, and all together.
const (
	maxBlobBytes  = 4 << 20
	maxBlobs      = 256
	maxBlobsBytes = 16 << 20
)

// Blob is an answer of the API server that is no object: discovery, OpenAPI.
type Blob struct {
	Type    string // Content-Type
	Fetched time.Time
	Body    []byte
}

// blobKey names a blob: its path with the query, and an Accept header.
type blobKey struct{ path, accept string }

// blobUse is what is known of a blob without its body.
type blobUse struct {
	blobKey
	bytes int
	used  time.Time
}

// rank is how soon a blob goes: those of OpenAPI first, which nothing on the node
// needs, then the documents of single groups. What is left, such as the keys of
// tokens, is small, and Pods can be the cause of no more of it.
func (k blobKey) rank() int {
	switch {
	case strings.HasPrefix(k.path, "/openapi/"):
		return 2
	case strings.HasPrefix(k.path, "/api/"), strings.HasPrefix(k.path, "/apis/"):
		return 1
	}
	return 0
}

// surplus decides which blobs go: of too many those that were used longest ago.
func surplus(blobs []blobUse, most, mostBytes int) (drop []blobKey) {
	blobs = slices.Clone(blobs)
	slices.SortStableFunc(blobs, func(a, b blobUse) int { // who goes first comes first
		if r := b.rank() - a.rank(); r != 0 {
			return r
		}
		return a.used.Compare(b.used)
	})
	bytes := 0
	for _, b := range blobs {
		bytes += b.bytes
	}
	for i, b := range blobs {
		if len(blobs)-i <= most && bytes <= mostBytes {
			break
		}
		drop = append(drop, b.blobKey)
		bytes -= b.bytes
	}
	return drop
}

// Blob returns what is stored for a path (with its query) and an Accept header;
// false if there is nothing. That it was used is remembered, but not written.
func (s *Store) Blob(ctx context.Context, path, accept string) (Blob, bool) {
	f := s.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil {
		return Blob{}, false
	}
	var b Blob
	var fetched int64
	err := f.db.QueryRowContext(ctx, "SELECT type, fetched, body FROM blobs WHERE path = ? AND accept = ?", path,
		accept).Scan(&b.Type, &fetched, &b.Body)
	b.Fetched = time.Unix(fetched, 0)
	if err == nil {
		f.used[blobKey{path, accept}] = s.now()
	}
	return b, err == nil
}

// SetBlob stores a blob. What is too large is not stored, and of too many those go
// that were used longest ago. What is there already is written only once a day.
func (s *Store) SetBlob(ctx context.Context, path, accept string, b Blob) error {
	if len(b.Body) > maxBlobBytes {
		return nil
	}
	if old, ok := s.Blob(ctx, path, accept); ok && old.Type == b.Type && string(old.Body) == string(b.Body) &&
		b.Fetched.Sub(old.Fetched).Abs() < 24*time.Hour {
		return nil
	}
	f := s.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.reach(ctx, s.id); err != nil {
		return err
	}
	if _, err := f.db.ExecContext(ctx, "INSERT OR REPLACE INTO blobs (path, accept, type, fetched, body) VALUES (?, ?, ?, ?, ?)",
		path, accept, b.Type, b.Fetched.Unix(), b.Body); err != nil {
		return err
	}
	f.used[blobKey{path, accept}] = s.now()
	return f.trimBlobs(ctx)
}

// trimBlobs deletes the blobs that are too many. What was not used since the start
// counts as used when it was fetched.
func (f *file) trimBlobs(ctx context.Context) error {
	var all []blobUse
	err := each(ctx, f.db, "SELECT path, accept, fetched, length(body) FROM blobs", func(scan scanner) error {
		var b blobUse
		var fetched int64
		err := scan(&b.path, &b.accept, &fetched, &b.bytes)
		if b.used = f.used[b.blobKey]; b.used.IsZero() {
			b.used = time.Unix(fetched, 0)
		}
		all = append(all, b)
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range surplus(all, maxBlobs, maxBlobsBytes) {
		if _, err := f.db.ExecContext(ctx, "DELETE FROM blobs WHERE path = ? AND accept = ?", k.path, k.accept); err != nil {
			return err
		}
		delete(f.used, k)
	}
	return nil
}
