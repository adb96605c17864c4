package pgdb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/hostiletest"
)

const (
	megabyte = 1 << 20
	// inBuffers is how much the operating system may buffer per connection: it counts as sent.
	inBuffers = 16 * megabyte
)

// patience is the deadline for what no timeout should end.
const patience = 2 * time.Minute

// What a server sends is limited before it is in memory, at each stage of a connection.
func TestAServerThatMeansHarmIsBounded(t *testing.T) { //nolint:paralleltest // what the process allocates is measured
	lateFlood := func(kind byte, body []byte) func(c *hostiletest.Conn) {
		return func(c *hostiletest.Conn) {
			c.LetIn()
			c.Begin()
			c.Next()
			c.Flood(kind, body)
		}
	}
	lateDrown := func(kind byte, size int) func(c *hostiletest.Conn) {
		return func(c *hostiletest.Conn) {
			c.LetIn()
			c.Begin()
			c.Next()
			c.Drown(kind, size)
			c.Wait()
		}
	}
	rows := func(value string) func(c *hostiletest.Conn) {
		return func(c *hostiletest.Conn) {
			c.LetIn()
			c.Begin()
			c.Next()
			c.Describe(0, 1)
			c.Next()
			c.Send('2')
			c.Columns(1)
			c.Flood('D', hostiletest.RowBody(value))
		}
	}
	setting := append(hostiletest.Text("setting_"+strings.Repeat("x", 1000)), hostiletest.Text(strings.Repeat("y", 1000))...)
	for _, c := range []struct { //nolint:paralleltest // each counts what the whole process allocates
		name  string
		serve func(c *hostiletest.Conn)
		says  string
		sent  int64 // the limit
	}{
		{"AnnouncesAGigabyteAtOnce", func(c *hostiletest.Conn) { c.Write(hostiletest.Header('R', 1<<30)); c.Wait() }, "a message of 1073741824 bytes", inBuffers},
		{"SendsAGigabyteOfAuthentication", func(c *hostiletest.Conn) { c.Drown('R', 1<<30) }, "a message of 1073741824 bytes", inBuffers},
		{"SendsAGigabyteOfASetting", func(c *hostiletest.Conn) { c.Drown('S', 1<<30) }, "startup messages", inBuffers},
		{"FloodsWithSettings", func(c *hostiletest.Conn) { c.Flood('S', setting) }, "startup messages", inBuffers},
		{"FloodsWithNotices", func(c *hostiletest.Conn) { c.Flood('N', hostiletest.ErrorBody(map[byte]string{'M': "hello"})) }, "startup messages", inBuffers},
		{"FloodsWithKeys", func(c *hostiletest.Conn) { c.Flood('K', make([]byte, 8)) }, "startup messages", inBuffers},
		{"HasANegativeLength", func(c *hostiletest.Conn) { c.Write([]byte{'R', 0xff, 0xff, 0xff, 0xff}); c.Wait() }, "a message with an invalid length", inBuffers},
		{"WantsThePasswordHashedForEver", func(c *hostiletest.Conn) {
			c.Send('R', []byte{0, 0, 0, 10}, hostiletest.Text("SCRAM-SHA-256"), []byte{0})
			c.Next1()
			c.Send('R', []byte{0, 0, 0, 11}, []byte("r=nonce,s=c2FsdA==,i=9999999"))
			c.Wait()
		}, "a request to hash the password 9999999 times", inBuffers},
		{"AnnouncesARowOfAGigabyte", func(c *hostiletest.Conn) {
			c.LetIn()
			c.Begin()
			c.Next()
			c.Describe(0, 1)
			c.Next()
			c.Send('2')
			c.Columns(1)
			c.Write(hostiletest.Header('D', 1<<30))
			c.Wait()
		}, "a row of 1073741824 bytes", inBuffers},
		{"SendsRowsWithoutAnEnd", rows(strings.Repeat("x", 1000)), "an answer of", 64*megabyte + inBuffers},
		{"SendsEmptyRowsWithoutAnEnd", rows(""), "an answer of", 64*megabyte + inBuffers},
		{"DescribesAGigabyteOfColumns", lateDrown('T', 1<<30), "a description of columns of 1073741824 bytes", inBuffers},
		{"FloodsWithSettingsLater", lateFlood('S', setting), "an answer of", 64*megabyte + inBuffers},
		{"FloodsWithNoticesLater", lateFlood('N', hostiletest.ErrorBody(map[byte]string{'M': "hello"})), "an answer of", 64*megabyte + inBuffers},
		{"FloodsWithNotificationsLater", lateFlood('A', append([]byte{0, 0, 0, 1}, "channel\x00payload\x00"...)), "an answer of", 64*megabyte + inBuffers},
		{"SendsAHugeNotice", lateDrown('N', 1<<30), "an answer of", inBuffers},
		{"SendsAnUnknownMessage", lateDrown('?', 1<<30), "a message of 1073741824 bytes", inBuffers},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := hostiletest.Postgres(t, c.serve)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var err error
			allocated := hostiletest.Allocated(func() { err = ask(ctx, server.URL) })
			require.NoError(t, ctx.Err(), "it is not the clock that ended it")
			var flood *pgdb.FloodError
			require.ErrorAs(t, err, &flood)
			require.Contains(t, pgdb.Describe(err), "the server sent "+c.says)
			require.True(t, pgdb.Unavailable(err))
			require.LessOrEqual(t, server.Sent(), c.sent)
			require.Less(t, allocated, int64(300*megabyte))
			if c.sent == inBuffers {
				require.Less(t, allocated, int64(8*megabyte))
			}
		})
	}
}

// ask connects as to a tenant's database and reads the whole result.
func ask(ctx context.Context, url string) error {
	conn, err := (&pgdb.Tenants{}).Connect(ctx, url, pgdb.Options{ConnectTimeout: patience})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT 1`)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// An error of any size remains a statement error: its text is truncated, and the connection can be
// reused.
func TestAHugeErrorIsCut(t *testing.T) { //nolint:paralleltest // what the process allocates is measured
	const size = 200 * megabyte
	field := func(letter string) []hostiletest.Part {
		return []hostiletest.Part{{Text: letter, Times: 1}, {Text: "ä", Times: size / 2}, {Text: "\x00", Times: 1}}
	}
	whole := slices.Concat([]hostiletest.Part{{Text: "SERROR\x00VERROR\x00CP0001\x00", Times: 1}}, field("M"), field("D"), field("H"),
		[]hostiletest.Part{{Text: "Rexec_stmt_raise\x00\x00", Times: 1}})
	server := hostiletest.Postgres(t, func(c *hostiletest.Conn) {
		c.LetIn()
		c.Begin()
		for !c.Gone() {
			c.Next()
			c.Stream('E', whole...)
			c.Ready()
		}
	})
	conn, err := (&pgdb.Tenants{}).Connect(t.Context(), server.URL, pgdb.Options{ConnectTimeout: patience})
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for range 2 {
		before := server.Sent()
		allocated := hostiletest.Allocated(func() { _, err = conn.Exec(t.Context(), `SELECT $1::text`, "x") })
		require.Less(t, allocated, int64(8*megabyte))
		var raised *pgconn.PgError
		require.ErrorAs(t, err, &raised)
		require.Equal(t, "P0001", raised.Code)
		require.Equal(t, "exec_stmt_raise", raised.Routine)
		require.LessOrEqual(t, len(raised.Message), 1030)
		require.True(t, strings.HasPrefix(raised.Message, "äää"))
		require.LessOrEqual(t, len(raised.Detail), 1030)
		require.Less(t, len(pgdb.Describe(err)), 3<<10)
		require.Greater(t, server.Sent()-before, int64(2*size), "all of it was read")
		require.False(t, conn.IsClosed())
	}
}

// pgx buffers everything that arrives while the server does not accept what is sent.
func TestAServerThatSendsAndDoesNotReadIsBounded(t *testing.T) { //nolint:paralleltest // what the process allocates is measured
	server := hostiletest.Postgres(t, func(c *hostiletest.Conn) {
		c.LetIn()
		c.Begin()
		c.Next()
		c.Describe(1, 1)
		c.Flood('N', hostiletest.ErrorBody(map[byte]string{'M': strings.Repeat("x", 1000)}))
	})
	conn, err := (&pgdb.Tenants{}).Connect(t.Context(), server.URL, pgdb.Options{ConnectTimeout: patience})
	require.NoError(t, err)
	defer conn.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // it never accepts the statement
	defer cancel()
	_, err = conn.Exec(ctx, `SELECT $1::text`, strings.Repeat("x", 64*megabyte))
	require.Error(t, err)
	require.LessOrEqual(t, server.Sent(), int64((32+64)*megabyte+inBuffers), "what waits, and what is read when it is given up")
}

// Malformed input is an error, never a crash or a hang.
func TestAServerThatTalksNonsenseIsAnError(t *testing.T) {
	t.Parallel()
	letIn := func(then func(c *hostiletest.Conn)) func(c *hostiletest.Conn) {
		return func(c *hostiletest.Conn) {
			c.LetIn()
			c.Begin()
			then(c)
			c.Wait()
		}
	}
	for name, serve := range map[string]func(c *hostiletest.Conn){
		"WantsThePasswordAndClosesThen": func(c *hostiletest.Conn) { c.Send('R', []byte{0, 0, 0, 3}) },
		"WantsKerberos":                 func(c *hostiletest.Conn) { c.Send('R', []byte{0, 0, 0, 7}); c.Wait() },
		"WantsSomethingNew":             func(c *hostiletest.Conn) { c.Send('R', []byte{0, 0, 0, 99}); c.Wait() },
		"WantsOtherMechanisms": func(c *hostiletest.Conn) {
			c.Send('R', []byte{0, 0, 0, 10}, hostiletest.Text("MAGIC"), []byte{0})
			c.Wait()
		},
		"IsReadyBeforeItHasAsked":       func(c *hostiletest.Conn) { c.Ready(); c.Wait() },
		"SendsATruncatedAuthentication": func(c *hostiletest.Conn) { c.Send('R', []byte{0, 0}); c.Wait() },
		"ClosesAtOnce":                  func(*hostiletest.Conn) {},
		"BeginsWithoutARow": func(c *hostiletest.Conn) {
			c.LetIn()
			c.Next()
			c.Send('1')
			c.Send('2')
			c.Send('n')
			c.Send('C', hostiletest.Text("SELECT 0"))
			c.Ready()
			c.Wait()
		},
		"BeginsWithOtherColumns": func(c *hostiletest.Conn) {
			c.LetIn()
			c.Next()
			c.Send('1')
			c.Send('2')
			c.Columns(1)
			c.Row("true")
			c.Send('C', hostiletest.Text("SELECT 1"))
			c.Ready()
			c.Wait()
		},
		"DescribesNoColumns": letIn(func(c *hostiletest.Conn) {
			c.Next()
			c.Describe(0, 0)
			c.Next()
			c.Send('2')
			c.Columns(0)
			c.Row()
			c.Send('C', hostiletest.Text("SELECT 1"))
			c.Ready()
		}),
		"SendsMoreColumnsThanItDescribed": letIn(func(c *hostiletest.Conn) {
			c.Next()
			c.Describe(0, 1)
			c.Next()
			c.Send('2')
			c.Columns(1)
			c.Row("a", "b", "c")
			c.Send('C', hostiletest.Text("SELECT 1"))
			c.Ready()
		}),
		"SendsARowOfABrokenForm": letIn(func(c *hostiletest.Conn) {
			c.Next()
			c.Describe(0, 1)
			c.Next()
			c.Send('2')
			c.Columns(1)
			c.Send('D', []byte{0, 1, 0x7f, 0xff, 0xff, 0xff})
		}),
		"WantsToCopy": letIn(func(c *hostiletest.Conn) {
			c.Next()
			c.Send('G', []byte{0, 0, 0})
			c.Send('C', hostiletest.Text("COPY 0"))
			c.Ready()
		}),
		"IsReadyTooOften": letIn(func(c *hostiletest.Conn) { c.Next(); c.Ready(); c.Ready(); c.Ready() }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := hostiletest.Postgres(t, serve)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := ask(ctx, server.URL)
			require.Error(t, err)
			require.NotContains(t, pgdb.Describe(err), "s3cret")
		})
	}
	t.Run("SendsOtherTypes", func(t *testing.T) {
		t.Parallel()
		server := hostiletest.Postgres(t, letIn(func(c *hostiletest.Conn) {
			c.Next()
			c.Describe(0, 1)
			c.Next()
			c.Send('2')
			c.ColumnsOf(pgtype.Int8OID, 1)
			c.Row("no number")
			c.Send('C', hostiletest.Text("SELECT 1"))
			c.Ready()
		}))
		conn, err := (&pgdb.Tenants{}).Connect(t.Context(), server.URL, pgdb.Options{ConnectTimeout: patience})
		require.NoError(t, err)
		defer conn.Close(t.Context())
		var n int64
		require.Error(t, conn.QueryRow(t.Context(), `SELECT 1`).Scan(&n))
	})
	for name, serve := range map[string]func(c *hostiletest.Conn){
		"SaysNothing":     func(c *hostiletest.Conn) { c.WaitDeaf() },
		"SaysNothingThen": func(c *hostiletest.Conn) { c.Send('R', []byte{0, 0, 0, 0}); c.WaitDeaf() },
		"NeverBegins":     func(c *hostiletest.Conn) { c.LetIn(); c.WaitDeaf() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := hostiletest.Postgres(t, serve)
			_, err := (&pgdb.Tenants{}).Connect(t.Context(), server.URL, pgdb.Options{ConnectTimeout: 300 * time.Millisecond})
			require.Contains(t, pgdb.Describe(err), "did not answer in time")
			require.True(t, pgdb.Passing(err))
		})
	}
}

// However the stream is split, pgx gets the same messages.
func TestMessagesComeThroughInPieces(t *testing.T) {
	t.Parallel()
	var stream, want bytes.Buffer
	add := func(kind byte, body []byte, passes bool) {
		whole := append(hostiletest.Header(kind, len(body)), body...)
		stream.Write(whole)
		if passes {
			want.Write(whole)
		}
	}
	add('S', append(hostiletest.Text("TimeZone"), hostiletest.Text("UTC")...), true)
	add('N', hostiletest.ErrorBody(map[byte]string{'M': "hello"}), false)
	add('Z', []byte("I"), true)
	add('D', hostiletest.RowBody(strings.Repeat("row", 10_000)), true)
	add('A', append([]byte{0, 0, 0, 1}, "channel\x00payload\x00"...), false)
	add('E', []byte("SERROR\x00Mshort\x00\x00"), true)
	add('S', bytes.Repeat([]byte("x"), 70_000), false)
	long := strings.Repeat("m", 20_000)
	whole := []byte("SERROR\x00C22000\x00M" + long + "\x00Hx\x00\x00")
	stream.Write(append(hostiletest.Header('E', len(whole)), whole...))
	cut := []byte("SERROR\x00C22000\x00M" + long[:1023] + "\x00Hx\x00\x00")
	want.Write(append(hostiletest.Header('E', len(cut)), cut...))
	add('C', hostiletest.Text("SELECT 1"), true)
	add('Z', []byte("I"), true)
	for name, pieces := range map[string]func(io.Reader) io.Reader{
		"Whole":      func(r io.Reader) io.Reader { return r },
		"ByteByByte": iotest.OneByteReader,
		"Halves":     iotest.HalfReader,
		"WithTheEnd": iotest.DataErrReader,
		"Stumbling":  func(r io.Reader) io.Reader { return &stumbling{r: iotest.OneByteReader(r)} },
	} {
		for _, size := range []int{1, 7, 4096, 1 << 20} {
			r := pgdb.NewWire(pieces(bytes.NewReader(stream.Bytes())))
			var got []byte
			buffer := make([]byte, size)
			for {
				n, err := r.Read(buffer)
				got = append(got, buffer[:n]...)
				if errors.Is(err, errStumble) {
					continue
				}
				if err != nil {
					require.ErrorIs(t, err, io.EOF)
					break
				}
			}
			require.Len(t, got, want.Len(), "%s %d", name, size)
			require.True(t, bytes.Equal(want.Bytes(), got), "%s %d", name, size)
		}
	}
}

var errStumble = errors.New("a timeout")

// stumbling fails once before each read, as a deadline does.
type stumbling struct {
	r    io.Reader
	next bool
}

func (s *stumbling) Read(p []byte) (int, error) {
	if s.next = !s.next; s.next {
		return 0, errStumble
	}
	return s.r.Read(p)
}

func FuzzWire(f *testing.F) {
	f.Add([]byte("Z\x00\x00\x00\x05I"), 3)
	f.Add(append(hostiletest.Header('E', 9000), bytes.Repeat([]byte("M"), 9000)...), 100)
	f.Add(binary.BigEndian.AppendUint32([]byte{'R'}, 1<<31), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		if size < 1 || size > 1<<16 {
			return
		}
		r := pgdb.NewWire(bytes.NewReader(stream))
		total := 0
		for buffer := make([]byte, size); ; {
			n, err := r.Read(buffer)
			total += n
			if err != nil {
				break
			}
		}
		require.LessOrEqual(t, total, len(stream)+10)
	})
}
