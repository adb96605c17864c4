package localpg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const (
	minMajor        = 15
	downloadVersion = embeddedpostgres.V17
)

// programs is a directory with server programs of one major version.
type programs struct {
	dir   string
	major int
}

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

// findPrograms returns server programs: of the version that made the data, if
// there is data; else those in PATH; else the newest ones installed; else downloaded ones.
func (s *Server) findPrograms(ctx context.Context) (programs, error) {
	found := s.installed(ctx)
	made, err := dataMajor(s.dir)
	if err != nil {
		return programs{}, err
	}
	if made != 0 {
		for _, p := range found {
			if p.major == made {
				return p, nil
			}
		}
	} else if len(found) > 0 {
		return found[0], nil
	}
	downloaded, err := s.download(ctx)
	switch {
	case err != nil && made != 0 && len(found) > 0, err == nil && made != 0 && downloaded.major != made:
		return programs{}, fmt.Errorf("%w: %s is of PostgreSQL %d, found here is %s; install postgresql-%d, "+
			"or dump and load the data (pg_dumpall), or move the directory away to begin anew",
			ErrOtherMajor, s.dir, made, describe(append(found, downloaded)), made)
	case err != nil:
		return programs{}, err
	}
	return downloaded, nil
}

func describe(found []programs) string {
	var names []string
	for _, p := range found {
		if p.major != 0 {
			names = append(names, fmt.Sprintf("%d (%s)", p.major, p.dir))
		}
	}
	return strings.Join(names, ", ")
}

// dataMajor returns the major version that made the data of dir, 0 if there is none.
func dataMajor(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, explain("look at the data of PostgreSQL", dir, err, "")
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("look at the data of PostgreSQL in %s: its PG_VERSION is not a number", dir)
	}
	return major, nil
}

// candidateDirs lists where server programs are installed by the usual packages.
func (s *Server) candidateDirs(ctx context.Context) []string {
	var dirs []string
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // PostgreSQL's packages for Red Hat
		"/usr/local/pgsql/bin",      // built from source
		"/usr/libexec/postgresql*",  // Alpine
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		filepath.Join(s.programsDir(), "bin"),
	} {
		matches, _ := filepath.Glob(pattern) // the patterns are well-formed
		dirs = append(dirs, matches...)
	}
	return dirs
}

// installed returns the usable server programs: first those in PATH, which somebody chose,
// then the others, newest first.
func (s *Server) installed(ctx context.Context) []programs {
	chosen := usable(ctx, inPath("postgres"))
	others := usable(ctx, s.candidateDirs(ctx)...)
	slices.SortStableFunc(others, func(a, b programs) int { return cmp.Compare(b.major, a.major) })
	return append(chosen, others...)
}

// inPath returns the directory in which a program of PATH really is.
func inPath(program string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return filepath.Dir(path)
}

// usable returns those of dirs that hold server programs of a version that serves.
func usable(ctx context.Context, dirs ...string) []programs {
	var found []programs
	for _, dir := range dirs {
		if major := programsMajor(ctx, dir); major >= minMajor {
			found = append(found, programs{dir: dir, major: major})
		}
	}
	return found
}

// programsMajor returns the version of the server programs in dir, 0 if there are none.
func programsMajor(ctx context.Context, dir string) int {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	match := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if match == nil {
		return 0
	}
	major, _ := strconv.Atoi(string(match[1])) // digits, by the expression
	return major
}

// programsDir is where downloaded programs are kept.
func (s *Server) programsDir() string {
	if s.config.ProgramsDir != "" {
		return s.config.ProgramsDir
	}
	name := "postgresql-" + string(downloadVersion)
	if s.account != nil {
		return filepath.Join(stateDir, name) // root's cache can't be reached by the account
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "authsync", name)
}

// download fetches server programs and unpacks them into programsDir. The
// library can only fetch and start in one go, so it is given a data directory
// that looks as if it were in order and isn't: it fetches, unpacks, and its
// start fails. Whether it worked is seen by the programs being there.
func (s *Server) download(ctx context.Context) (programs, error) {
	const hint = "install PostgreSQL's server package (Debian, Ubuntu: apt-get install postgresql; " +
		"macOS: brew install postgresql@17), or allow the network for a download"
	dir := s.programsDir()
	if s.config.NoDownload {
		return programs{}, fmt.Errorf("%w: %s", ErrNoPrograms, hint)
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "postgres_download_started",
		slog.String("version", string(downloadVersion)), slog.String("dir", dir))
	work, err := os.MkdirTemp("", "authsync-download-")
	if err != nil {
		return programs{}, explain("download PostgreSQL", os.TempDir(), err, "")
	}
	defer os.RemoveAll(work)
	data := filepath.Join(work, "data")
	major, _, _ := strings.Cut(string(downloadVersion), ".")
	err = errors.Join(
		os.MkdirAll(dir, 0o755), // the server's account must be able to run them
		os.Mkdir(data, 0o700),
		os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major+"\n"), 0o600),
	)
	if err != nil {
		return programs{}, explain("download PostgreSQL", dir, err, "")
	}
	config := embeddedpostgres.DefaultConfig()
	if s.config.repository != "" {
		config = config.BinaryRepositoryURL(s.config.repository)
	}
	fetchErr := embeddedpostgres.NewDatabase(config.
		Version(downloadVersion).
		Port(0). // none is taken
		CachePath(filepath.Join(work, "cache")).
		RuntimePath(filepath.Join(work, "runtime")).
		DataPath(data).
		BinariesPath(dir).
		Logger(io.Discard)).Start()
	p := programs{dir: filepath.Join(dir, "bin")}
	if p.major = programsMajor(ctx, p.dir); p.major == 0 {
		return programs{}, fmt.Errorf("%w, and downloading them did not work either: %w; %s", ErrNoPrograms, fetchErr, hint)
	}
	return p, nil
}

// initData makes the data directory, unless it exists. It is made under another
// name first: a run that was cut short leaves nothing that looks finished.
func (s *Server) initData(ctx context.Context) error {
	passwordFile := filepath.Join(s.dir, "password")
	password, err := readOrMake(passwordFile, newPassword())
	if err == nil {
		err = s.account.own(passwordFile) // initdb reads it
	}
	if err != nil {
		return explain("keep password of PostgreSQL", s.dir, err, "")
	}
	s.password = password
	data, unfinished := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "data.new")
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	if err := os.RemoveAll(unfinished); err != nil {
		return explain("make data of PostgreSQL", s.dir, err, "")
	}
	if passwordFile, err = s.passwordForInitdb(passwordFile); err != nil {
		return explain("keep password of PostgreSQL", s.dir, err, "")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.Timeout, errors.New("initdb took too long"))
	defer cancel()
	args := append(s.initdbArgs(), "--pgdata="+unfinished, "--pwfile="+passwordFile)
	cmd := s.account.command(ctx, s.dir, s.programs.path("initdb"), args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return errors.Join(explain("make data of PostgreSQL", s.dir, err, output.String()), os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, data); err != nil {
		return explain("make data of PostgreSQL", s.dir, err, "")
	}
	return nil
}

// initdbArgs asks for UTF-8 and a sort order that is the same on every machine.
func (s *Server) initdbArgs() []string {
	args := []string{"--username=" + superuser, "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"}
	switch {
	case s.programs.major >= 17:
		args = append(args, "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
	case runtime.GOOS == "linux":
		args = append(args, "--locale=C.UTF-8")
	default: // has no C.UTF-8
		args = append(args, "--locale=C")
	}
	if s.config.Throwaway {
		args = append(args, "--no-sync")
	}
	return args
}

// ProgramDir returns the directory of a program that comes with PostgreSQL, such as pg_dump,
// of the version that a new server has, or of the newest one that has the program.
// Error: ErrNoPrograms.
func ProgramDir(ctx context.Context, name string) (string, error) {
	account, err := unprivileged()
	if err != nil {
		return "", err
	}
	for _, p := range (&Server{account: account}).installed(ctx) {
		if _, err := os.Stat(p.path(name)); err == nil {
			return p.dir, nil
		}
	}
	return "", fmt.Errorf("%w with %s", ErrNoPrograms, name)
}
