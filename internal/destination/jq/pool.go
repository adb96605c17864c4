package jq

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// startTime is how long a worker may take to start on a busy machine.
	startTime = 30 * time.Second
	// answerTime kills a worker that has not ended itself after wallTime.
	answerTime = 2 * wallTime
	// keepIdle is how long an idle worker is kept. It is checked when a worker is returned.
	keepIdle = time.Minute
)

// pool manages worker processes. It starts them on demand and runs nothing in between. Workers end with this
// process.
type pool struct {
	places *semaphore.Weighted // first come, first served
	inputs atomic.Uint64

	mu   sync.Mutex
	idle []*process // most recently used last
}

// workers is the process-wide pool, like http.DefaultTransport's connections: its size depends on the machine,
// not on the number of destinations.
var workers = sync.OnceValue(func() *pool { //nolint:gochecknoglobals // see above
	return &pool{places: semaphore.NewWeighted(int64(min(max(runtime.GOMAXPROCS(0), 2), 8)))}
})

// process is a worker process. It serves one run at a time.
type process struct {
	cmd     *exec.Cmd
	in, out *os.File
	writer  *bufio.Writer
	encoder *gob.Encoder
	decoder *gob.Decoder
	inputID uint64 // the last input it received
	usedAt  time.Time
}

// inWorker runs the expression in a worker.
func (e *Expression) inWorker(ctx context.Context, input *Input, values []any) ([]any, error) {
	p := workers()
	if values == nil {
		values = []any{}
	}
	encoded, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("write the variables of %s: %w", e.name, err)
	}
	id, text, err := input.encode(p)
	if err != nil {
		return nil, fmt.Errorf("write the input of %s: %w", e.name, err)
	}
	if p.places.Acquire(ctx, 1) != nil {
		return nil, e.stopped()
	}
	defer p.places.Release(1)
	w, err := p.take(id) //nolint:contextcheck // the worker outlives this call
	if err != nil {
		return nil, &UnavailableError{err}
	}
	c := call{Source: e.source, Variables: e.variables, InputID: id, Values: encoded}
	if w.inputID != id {
		c.Input = text
	}
	a, err := w.run(ctx, c)
	if err != nil {
		status := w.end()
		if ctx.Err() != nil {
			return nil, e.stopped()
		}
		return nil, e.killed(e.whyEnded(status, err), time.Now())
	}
	p.give(w)
	switch {
	case a.TooLong:
		return nil, e.wasSlow(time.Now())
	case a.Failure != "":
		return nil, e.fails(a.Failure)
	}
	all, err := decode(a.Values)
	list, is := all.([]any)
	if err != nil || !is {
		return nil, &UnavailableError{errors.New("a worker answered what cannot be read")}
	}
	return list, nil
}

// whyEnded returns why a worker ended during a run.
func (e *Expression) whyEnded(status int, err error) *RunError {
	if status == exitTime || errors.Is(err, os.ErrDeadlineExceeded) {
		return e.tookTooLong()
	}
	return &RunError{Detail: fmt.Sprintf("%s needs more memory than the %d MB it may have: let it build less", e.name, MaxMemory>>20)}
}

// take returns an idle worker, preferably the one that last had the input, or a new one.
func (p *pool) take(inputID uint64) (*process, error) {
	p.mu.Lock()
	if len(p.idle) > 0 {
		i := slices.IndexFunc(p.idle, func(w *process) bool { return w.inputID == inputID })
		if i < 0 {
			i = len(p.idle) - 1
		}
		w := p.idle[i]
		p.idle = slices.Delete(p.idle, i, i+1)
		p.mu.Unlock()
		return w, nil
	}
	p.mu.Unlock()
	return start()
}

// give returns a worker to the pool and ends those idle for long.
func (p *pool) give(w *process) {
	w.usedAt = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, w)
	for len(p.idle) > 1 && w.usedAt.Sub(p.idle[0].usedAt) > keepIdle {
		p.idle[0].end()
		p.idle = p.idle[1:]
	}
}

// thisProgram returns the path of this program's file, even if it has been replaced since the start.
func thisProgram() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// start starts a worker and waits until it is ready.
func start() (_ *process, err error) {
	path, err := thisProgram()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), childIn.Close(), in.Close())
	}
	cmd := exec.Command(path) //nolint:noctx,gosec // it outlives the run that starts it; the path is this program's
	cmd.Args = []string{"authsync jq"}
	cmd.Env = []string{workerVariable + "=1"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout = childIn, childOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // keep Ctrl-C for the parent, which ends the worker
	err = cmd.Start()
	_, _ = childIn.Close(), childOut.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a worker: %w", err), in.Close(), out.Close())
	}
	w := &process{cmd: cmd, in: in, out: out, writer: bufio.NewWriter(in), decoder: gob.NewDecoder(bufio.NewReader(out))}
	w.encoder = gob.NewEncoder(w.writer)
	var ready answer
	if err := w.await(context.Background(), startTime, &ready); err != nil {
		return nil, fmt.Errorf("start a worker, which ended with status %d: %w", w.end(), err)
	}
	return w, nil
}

// run sends a call to the worker and returns its answer. After an error the worker is unusable.
func (w *process) run(ctx context.Context, c call) (a answer, err error) {
	w.inputID = c.InputID
	if err := w.in.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return answer{}, err
	}
	if err := w.encoder.Encode(c); err != nil {
		return answer{}, err
	}
	if err := w.writer.Flush(); err != nil {
		return answer{}, err
	}
	err = w.await(ctx, answerTime, &a)
	return a, err
}

// await reads an answer.
func (w *process) await(ctx context.Context, atMost time.Duration, a *answer) error {
	if err := w.out.SetReadDeadline(time.Now().Add(atMost)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.out.SetReadDeadline(time.Now()) })
	defer stop()
	return w.decoder.Decode(a)
}

// end kills the worker and returns its exit status, -1 if it had not exited by itself.
func (w *process) end() int {
	_ = w.cmd.Process.Kill() // no effect if it has exited
	_, _, _ = w.cmd.Wait(), w.in.Close(), w.out.Close()
	return w.cmd.ProcessState.ExitCode()
}
