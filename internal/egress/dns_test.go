package egress_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	typeA    = 1
	typeAAAA = 28
)

// dnsServer answers over UDP on this machine. Each question of a kind gets the
// next of the answers for its name; the last one is for ever.
type dnsServer struct {
	conn net.PacketConn

	mu      sync.Mutex
	answers map[string][][]netip.Addr
	asked   map[string]int
}

// newDNS starts a server; names are in lower case and without a dot at the end.
func newDNS(t *testing.T, answers map[string][][]netip.Addr) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &dnsServer{conn: conn, answers: answers, asked: map[string]int{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.serve()
	}()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		<-ended
	})
	return s
}

// resolver asks this server and no other.
func (s *dnsServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// questions counts the questions for IPv4 addresses of a name.
func (s *dnsServer) questions(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func (s *dnsServer) serve() {
	packet := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if answer, ok := s.answer(packet[:n]); err == nil && ok {
			_, _ = s.conn.WriteTo(answer, from) // who is gone asks again
		}
	}
}

// answer builds the answer to a packet with one question (RFC 1035, 4.1).
func (s *dnsServer) answer(packet []byte) ([]byte, bool) {
	const header = 12
	end := header
	var labels []string
	for end < len(packet) && packet[end] != 0 {
		next := end + 1 + int(packet[end])
		if next >= len(packet) {
			return nil, false
		}
		labels = append(labels, string(packet[end+1:next]))
		end = next
	}
	end += 5 // the empty label, type and class
	if end > len(packet) {
		return nil, false
	}
	kind := binary.BigEndian.Uint16(packet[end-4:])
	addrs, known := s.next(strings.ToLower(strings.Join(labels, ".")), kind)

	flags, count := uint16(0x8180), uint16(0)
	if !known {
		flags |= 3 // NXDOMAIN
	}
	var records []byte
	for _, addr := range addrs {
		if addr.Is4() != (kind == typeA) {
			continue
		}
		count++
		records = append(records, 0xc0, header) // the name is that of the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // class IN; not to be kept
		records = binary.BigEndian.AppendUint16(records, uint16(addr.BitLen()/8))
		records = append(records, addr.AsSlice()...)
	}
	answer := append([]byte{}, packet[:2]...)
	for _, field := range []uint16{flags, 1, count, 0, 0} {
		answer = binary.BigEndian.AppendUint16(answer, field)
	}
	answer = append(answer, packet[header:end]...)
	return append(answer, records...), true
}

// next takes the answer whose turn it is. Both kinds of one lookup get the same.
func (s *dnsServer) next(name string, kind uint16) ([]netip.Addr, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, known := s.answers[name]
	if !known || (kind != typeA && kind != typeAAAA) {
		return nil, known
	}
	turn := min(s.asked[name], len(all)-1)
	if kind == typeA {
		s.asked[name]++
	}
	return all[turn], true
}
