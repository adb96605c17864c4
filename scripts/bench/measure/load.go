package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// Placeholders of the same length as what replaces them.
const (
	eventID = "evt_benchmark0000000000000"
	userID  = "auth0|benchmark000000000000000"
	digits  = 9
)

// template is a prepared request; copies of it differ in the event and the user.
type template struct {
	bytes            []byte
	body             int   // how long the body is
	eventAt, usersAt []int // where the digits are
}

// newTemplate prepares a user.updated with a profile of some 1.4 kB.
func (e *environment) newTemplate(path string) (template, error) {
	_, body, err := e.endpoint.Provider.Sign(provider.Sample{
		Type: "user.updated", ID: eventID, UserID: userID,
		// What every event says anew makes it a change.
		Set: map[string]any{"app_metadata": map[string]any{"plan": "pro", "seen_in": eventID, "notes": ""}},
	}, provider.Credentials{WebhookSigningSecret: provider.Secrets{"any"}}, provider.Options{}, time.Now())
	if err != nil {
		return template{}, err
	}
	if missing := 1400 - len(body); missing > 0 {
		body = bytes.Replace(body, []byte(`"notes":""`), []byte(`"notes":"`+strings.Repeat("lorem ipsum ", missing/12)+`"`), 1)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\nUser-Agent: authsync-bench\r\n", path, len(body))
	if err := e.header.Write(&b); err != nil {
		return template{}, err
	}
	b.WriteString("\r\n")
	b.Write(body)
	t := template{bytes: b.Bytes(), body: len(body)}
	t.eventAt, t.usersAt = ends(t.bytes, eventID), ends(t.bytes, userID)
	if len(t.eventAt) == 0 || len(t.usersAt) == 0 {
		return template{}, errors.New("the sample holds neither event id nor user id")
	}
	return t, nil
}

// ends finds where the last digits of all occurrences of s begin.
func ends(b []byte, s string) (at []int) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(s))
		if i < 0 {
			return at
		}
		from += i + len(s)
		at = append(at, from-digits)
	}
}

// number writes the numbers of an event and its user into a copy's digits.
func (t *template) number(request []byte, event, user int64) {
	write := func(n int64, places []int) {
		var text [digits]byte
		for i := digits - 1; i >= 0; i-- {
			text[i] = byte('0' + n%10)
			n /= 10
		}
		for _, at := range places {
			copy(request[at:], text[:])
		}
	}
	write(event, t.eventAt)
	write(user, t.usersAt)
}

// load is what a run of the load generator saw.
type load struct {
	took      time.Duration
	cpu       time.Duration // of this process and PostgreSQL
	accepted  int
	latencies []time.Duration // sorted
}

func (l *load) rate() float64 { return float64(l.accepted) / l.took.Seconds() }

func (l *load) sort() { slices.Sort(l.latencies) }

func (l *load) percentile(p float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[min(int(p*float64(len(l.latencies))), len(l.latencies)-1)]
}

// plan bounds a run of the load generator: by time, or by a number of requests.
type plan struct {
	connections int
	duration    time.Duration
	requests    int64         // 0: no bound
	every       time.Duration // an open loop: a request is due so long after the one before, answered or not, as long as a connection is free; 0: at once
	first       int64         // where the numbers of events and users begin
	again       int64         // by how much the numbers of users are smaller: they have had events before
}

// generate keeps connections busy: each sends a request when the one before is
// answered, and the next one is due. An answer other than 204 is an error.
func generate(ctx context.Context, address string, t template, p plan) (load, error) {
	conns := make([]net.Conn, p.connections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	var dialer net.Dialer
	for i := range conns {
		var err error
		if conns[i], err = dialer.DialContext(ctx, "tcp", address); err != nil {
			return load{}, fmt.Errorf("connect to the server: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() {
		for _, c := range conns {
			_ = c.SetDeadline(time.Unix(1, 0)) // wakes whoever waits
		}
	})
	defer stop()

	var next atomic.Int64
	latencies := make([][]time.Duration, p.connections)
	errs := make([]error, p.connections)
	var wait sync.WaitGroup
	begun := time.Now()
	for i, conn := range conns {
		wait.Go(func() {
			request, buffer := slices.Clone(t.bytes), make([]byte, 4096)
			seen := make([]time.Duration, 0, 1<<14)
			for now := begun; p.duration == 0 || now.Sub(begun) < p.duration; {
				n := next.Add(1)
				if p.requests > 0 && n > p.requests {
					break
				}
				if p.every > 0 {
					due := time.NewTimer(time.Until(begun.Add(time.Duration(n-1) * p.every)))
					select {
					case <-due.C:
					case <-ctx.Done():
						due.Stop()
						errs[i] = context.Cause(ctx)
					}
					if errs[i] != nil {
						break
					}
				}
				t.number(request, p.first+n, p.first+n-p.again)
				sent := time.Now()
				if errs[i] = exchange(conn, request, buffer); errs[i] != nil {
					break
				}
				now = time.Now()
				seen = append(seen, now.Sub(sent))
			}
			latencies[i] = seen
		})
	}
	wait.Wait()
	l := load{took: time.Since(begun), latencies: slices.Concat(latencies...)}
	l.accepted = len(l.latencies)
	l.sort()
	return l, errors.Join(ctx.Err(), errors.Join(errs...))
}

// exchange sends a request and waits for the answer, which must be a 204: it has
// no body, so it ends with the headers.
func exchange(conn net.Conn, request, buffer []byte) error {
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	read := 0
	for {
		n, err := conn.Read(buffer[read:])
		if err != nil {
			return fmt.Errorf("wait for an answer: %w", err)
		}
		read += n
		if bytes.HasSuffix(buffer[:read], []byte("\r\n\r\n")) {
			break
		}
	}
	const want = "HTTP/1.1 204 "
	if !bytes.HasPrefix(buffer[:read], []byte(want)) {
		line, _, _ := strings.Cut(string(buffer[:read]), "\r\n")
		return fmt.Errorf("the server answered %s instead of %d", line, http.StatusNoContent)
	}
	return nil
}
