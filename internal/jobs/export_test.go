package jobs

// Holds reports whether the end of a job that this process fetched is not recorded yet.
func (c *Client) Holds(id int64) bool {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	_, ok := c.held.jobs[id]
	return ok
}

// LongestPause is that of a job.
const LongestPause = longestPause
