package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// pollInterval is how often files and processes are looked at that tell nobody of a change.
const pollInterval = 10 * time.Millisecond

// run starts the server and waits until it takes connections. A TCP port that
// was taken meanwhile is replaced by another one.
func (s *Server) run(ctx context.Context) error {
	if err := s.stopOrphan(ctx); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		if err := s.choosePort(ctx); err != nil {
			return err
		}
		err := s.runOnce(ctx)
		if err == nil {
			return nil
		}
		if s.config.TCP && attempt < 5 && strings.Contains(err.Error(), "could not create any TCP/IP sockets") {
			s.port = 0
			continue
		}
		return err
	}
}

// choosePort keeps the port of the last start if it is free, and takes any other one if not.
func (s *Server) choosePort(ctx context.Context) error {
	if !s.config.TCP {
		s.port = socketPort
		return nil
	}
	file := filepath.Join(s.dir, "port")
	if s.port == 0 {
		if text, err := os.ReadFile(file); err == nil {
			s.port, _ = strconv.Atoi(strings.TrimSpace(string(text))) // unreadable: 0, any port
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	if err != nil {
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return fmt.Errorf("find a free port for PostgreSQL: %w", err)
		}
	}
	addr, ok := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil || !ok {
		return fmt.Errorf("find a free port for PostgreSQL: %w", err)
	}
	s.port = addr.Port
	if err := os.WriteFile(file, []byte(strconv.Itoa(s.port)+"\n"), 0o600); err != nil {
		return explain("note the port of PostgreSQL", s.dir, err, "")
	}
	return nil
}

func (s *Server) runOnce(ctx context.Context) error {
	log, err := os.OpenFile(s.LogFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return explain("open log of PostgreSQL", s.dir, err, "")
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("open log of PostgreSQL: %w", err)
	}
	data := filepath.Join(s.dir, "data")
	args := append([]string{"-D", data, "-p", strconv.Itoa(s.port)}, s.settings()...)
	// The server outlives ctx on purpose: Stop ends it.
	cmd := s.account.command(context.WithoutCancel(ctx), data, s.programs.path("postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return explain("start PostgreSQL", s.dir, err, "")
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(exited)
		// The files of s hold the lock and the watchdog's leash: they must not be
		// collected while the server runs, even if the caller lets go of s.
		runtime.KeepAlive(s)
	}(s.exited)

	deadline := time.NewTimer(s.config.Timeout)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if postmaster(data).ready(cmd.Process.Pid) {
				return nil
			}
		case <-s.exited:
			return explain("start PostgreSQL", s.dir, errors.New("the server ended; its log is "+s.LogFile()), tail(s.LogFile(), begin))
		case <-ctx.Done():
			s.kill()
			return fmt.Errorf("start PostgreSQL: %w", ctx.Err())
		case <-deadline.C:
			s.kill()
			return explain("start PostgreSQL", s.dir,
				fmt.Errorf("the server took no connections within %s; its log is %s", s.config.Timeout, s.LogFile()), tail(s.LogFile(), begin))
		}
	}
}
