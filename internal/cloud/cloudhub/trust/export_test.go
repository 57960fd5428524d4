package trust

import "time"

// SetClock gives a keeper another time.
func (k *Keeper) SetClock(now func() time.Time) { k.now = now }
