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
	// startTime is how long a worker may take to begin, on a machine however busy.
	startTime = 30 * time.Second
	// answerTime ends a worker that does not end itself, as it should after wallTime.
	answerTime = 2 * wallTime
	// keepIdle is how long a worker that nobody needs is kept. It is looked at when another one is given back.
	keepIdle = time.Minute
)

// pool has the worker processes of this process. It starts them when they are needed, and nothing of it
// runs in between: whoever needs a worker talks to it. Workers end when this process does.
type pool struct {
	places *semaphore.Weighted // first come, first served
	inputs atomic.Uint64

	mu   sync.Mutex
	idle []*process // that which was given back last is the last
}

// workers is the pool of the process, like the connections of http.DefaultTransport: its size is that of the
// machine, however many destinations there are.
var workers = sync.OnceValue(func() *pool { //nolint:gochecknoglobals // see above
	return &pool{places: semaphore.NewWeighted(int64(min(max(runtime.GOMAXPROCS(0), 2), 8)))}
})

// process is a worker process. One run at a time uses it.
type process struct {
	cmd     *exec.Cmd
	in, out *os.File
	writer  *bufio.Writer
	encoder *gob.Encoder
	decoder *gob.Decoder
	inputID uint64 // of the input that it had last
	usedAt  time.Time
}

// inWorker has a worker run the expression.
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
	w, err := p.take(id) //nolint:contextcheck // a worker outlives the call that it is started for
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

// whyEnded says why a worker ended in the middle of a run.
func (e *Expression) whyEnded(status int, err error) *RunError {
	if status == exitTime || errors.Is(err, os.ErrDeadlineExceeded) {
		return e.tookTooLong()
	}
	return &RunError{Detail: fmt.Sprintf("%s needs more memory than the %d MB it may have: let it build less", e.name, MaxMemory>>20)}
}

// take gives an idle worker, if there is one that which had the input last, else a new one.
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

// give takes a worker back, and ends those that nobody has needed for long.
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

// program is the file of this program, also if another one has taken its place since it was started.
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
	cmd := exec.Command(path) //nolint:noctx,gosec // it outlives the run that needs it first; the path is this program's
	cmd.Args = []string{"authsync jq"}
	cmd.Env = []string{workerVariable + "=1"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout = childIn, childOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for its parent, which ends it
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

// run has the worker answer a call. After an error it cannot be used any more.
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

// end ends the worker at once and gives its exit status, -1 if it had not ended by itself.
func (w *process) end() int {
	_ = w.cmd.Process.Kill() // has no effect on one that has ended
	_, _, _ = w.cmd.Wait(), w.in.Close(), w.out.Close()
	return w.cmd.ProcessState.ExitCode()
}
