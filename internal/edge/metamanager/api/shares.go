package api

import "sync"

// shares counts what is under way: all, that of Pods, and that of each service
// account. Each of these has a limit.
type shares struct {
	most, mostOfPods, mostOfAccount int

	mu        sync.Mutex
	all, pods int
	accounts  map[string]int
}

// enter counts one; false if there are too many.
func (c *shares) enter(user User) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	account := user.As.ServiceAccount
	if c.all >= c.most || user.isPod() && (c.pods >= c.mostOfPods || c.accounts[account] >= c.mostOfAccount) {
		return false
	}
	c.all++
	if user.isPod() {
		if c.accounts == nil {
			c.accounts = map[string]int{}
		}
		c.pods++
		c.accounts[account]++
	}
	return true
}

// open is how many there are.
func (c *shares) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

func (c *shares) leave(user User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if user.isPod() {
		c.pods--
		if account := user.As.ServiceAccount; c.accounts[account] > 1 {
			c.accounts[account]--
		} else {
			delete(c.accounts, account)
		}
	}
}
