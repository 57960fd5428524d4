package index

import (
	"container/list"
	"sync"
)

// objectOverhead is what an object in the cache costs beside its bytes.
const objectOverhead = 256

// cache keeps the bytes of the objects that were used last.
type cache struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	items map[cacheKey]*list.Element
	order list.List // of *cached, the last used first
}

type cacheKey struct {
	feed *feed
	key  Key
}

type cached struct {
	cacheKey
	version string
	object  []byte
}

func (c *cached) size() int64 { return int64(len(c.object)) + objectOverhead }

func newCache(limit int64) *cache { return &cache{limit: limit, items: map[cacheKey]*list.Element{}} }

// get returns an object's bytes if they are of that version. They must not be
// changed.
func (c *cache) get(f *feed, k Key, version string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[cacheKey{f, k}]
	if e == nil || e.Value.(*cached).version != version {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).object
}

func (c *cache) put(f *feed, k Key, version string, object []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.items[cacheKey{f, k}])
	n := &cached{cacheKey{f, k}, version, object}
	if n.size() > c.limit {
		return
	}
	c.items[n.cacheKey] = c.order.PushFront(n)
	for c.bytes += n.size(); c.bytes > c.limit; {
		c.remove(c.order.Back())
	}
}

func (c *cache) drop(f *feed, k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.items[cacheKey{f, k}])
}

func (c *cache) remove(e *list.Element) {
	if e == nil {
		return
	}
	n := e.Value.(*cached)
	c.order.Remove(e)
	delete(c.items, n.cacheKey)
	c.bytes -= n.size()
}

// used is the number of bytes that are kept.
func (c *cache) used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}
