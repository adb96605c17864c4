package jobs

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// contactWithin is how long River may be without contact to its database. It looks for jobs several times a second, and
// every five seconds it asks to become or to stay the leader, even if all queues are paused or full.
const contactWithin = 30 * time.Second

// contact is when River, in this process, last did what it does all the time. It has no other sign of life: no method says
// whether its loops run, and what it writes in river_queue is older than a probe may wait for.
type contact struct{ at atomic.Pointer[time.Time] }

// note notes a contact, unless it failed.
func (c *contact) note(err error) {
	if err == nil {
		now := time.Now()
		c.at.Store(&now)
	}
}

// Working returns an error if this process, which was started, does not look for jobs any more, as of a time. It does not
// say that there is a leader among the processes: all of them would be unwell at once.
func (c *Client) Working(now time.Time) error {
	at := c.contact.at.Load()
	if at == nil {
		return errors.New("not started")
	}
	if since := now.Sub(*at); since > contactWithin {
		return fmt.Errorf("no contact for %s", since.Round(time.Second))
	}
	return nil
}
