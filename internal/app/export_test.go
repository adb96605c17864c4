package app

// JobsRefused returns how often this process has left the jobs to others because of its encryption key.
func (a *App) JobsRefused() int64 { return a.keys.refused.Load() }
