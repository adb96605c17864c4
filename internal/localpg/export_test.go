package localpg

import "context"

// Abandon leaves s as the sudden end of its process would: the lock and the
// watchdog's leash are let go, the server is not told.
func (s *Server) Abandon() error {
	err := dropLock(s.lock)
	s.lock = nil
	if s.watchdog != nil {
		err = s.watchdog.stdin.Close()
	}
	return err
}

// AccountOf is accountOf.
func AccountOf(names ...string) error {
	_, err := accountOf(names...)
	return err
}

// Explain is explain.
func Explain(err error, output string) error {
	return explain("test", "/some/dir", err, output)
}

// Download downloads server programs from a repository into dir.
func Download(ctx context.Context, repository, dir string) error {
	s := &Server{config: Config{ProgramsDir: dir, repository: repository}, log: discard()}
	_, err := s.download(ctx)
	return err
}

// Children is children.
func Children(pid int) []int { return children(pid) }

// MemoryDirs is where a throw-away server with these settings may live in memory.
func MemoryDirs(settings map[string]string) []string {
	return (&Server{config: Config{Settings: settings}}).memoryDirs()
}
