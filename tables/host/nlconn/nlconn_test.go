package nlconn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn/nlconntest"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// request is a message without a payload.
type request struct{}

func (request) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	return netlink.AppendHeader(b, order, 20, netlink.FlagRequest, seq, 0)
}

// message answers the request with that number, with that many bytes.
func message(seq uint32, size int) []byte {
	return append(netlink.AppendHeader(nil, binary.NativeEndian, 20, 0, seq, size), bytes.Repeat([]byte{7}, size)...)
}

// count returns how many messages there were, and what ended them.
func count(messages iter.Seq2[nlconn.Message, error]) (n int, err error) {
	for m, err := range messages {
		if err != nil {
			return n, err
		}
		if n++; m.Type != 20 || len(m.Payload) == 0 || m.Payload[0] != 7 {
			return n, errors.New("a message is not what was sent")
		}
	}
	return n, nil
}

type answers = []nlconntest.Answer

func answer(received ...[]byte) nlconntest.Answer { return nlconntest.Answer{Received: received} }

func failing(err error, received ...[]byte) nlconntest.Answer {
	return nlconntest.Answer{Received: received, Err: err}
}

func TestConversation(t *testing.T) {
	one, done, interrupted := message(1, 8), nlconntest.End(0), nlconntest.Interrupted()
	for _, c := range []struct {
		name     string
		answers  answers
		dumped   int // by Dump
		requests int
		listed   int // by List
		again    int // requests of List, if not as many
		want     string
	}{
		{"a list", answers{answer(one, one, done)}, 2, 1, 2, 0, ""},
		{"in one message", answers{answer(slices.Concat(one, one, done))}, 2, 1, 2, 0, ""},
		{"nothing", answers{answer(done)}, 0, 1, 0, 0, ""},
		{"an answer to another request", answers{answer(message(99, 8), one, message(99, 8), done)}, 1, 1, 1, 0, ""},
		{"what comes after the end", answers{answer(one, slices.Concat(done, one), one)}, 1, 1, 1, 0, ""},

		{"no answer", answers{answer()}, 0, 1, 0, 0, "no end"},
		{"no end", answers{answer(one)}, 1, 1, 0, 0, "no end"},
		{"an error at the end", answers{answer(one, nlconntest.End(syscall.ENOMEM))}, 1, 1, 0, 0, "cannot allocate"},
		{"a refusal in the middle", answers{answer(one, nlconntest.End(syscall.EPERM))}, 1, 1, 0, 0, "not permitted"},
		{"lost messages", answers{failing(syscall.ENOBUFS, one)}, 1, 1, 0, 0, "no buffer space"},
		{"half a header", answers{answer(one, one[:10])}, 1, 1, 0, 0, "too short"},
		{"half a message", answers{answer(one, one[:20])}, 1, 1, 0, 0, "too short"},
		{"silence", answers{failing(os.ErrDeadlineExceeded)}, 0, 1, 0, 0, "timeout"},

		{"interrupted once, empty", answers{answer(interrupted), answer(one, done)}, 1, 2, 1, 0, ""},
		{"interrupted for ever, empty", answers{answer(interrupted)}, 0, 3, 0, 0, "ask again"},
		{"interrupted once", answers{answer(one, interrupted), answer(one, one, done)}, 1, 1, 2, 2, "ask again"},
		{"interrupted for ever", answers{answer(one, interrupted)}, 1, 1, 0, 3, "ask again"},
	} {
		check := func(name string, n int, asked [][]byte, err error, wantN, wantAsked int, want string) {
			if n != wantN || len(asked) != wantAsked || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %d messages after %d requests, %v; want %d after %d, %q", name, n, len(asked), err, wantN, wantAsked, want)
			}
			if errors.Is(err, nlconn.ErrRefused) || errors.Is(err, nlconn.ErrInterrupted) != (want == "ask again") {
				t.Errorf("%s: %v is of the wrong kind", name, err)
			}
		}
		t.Run(c.name, func(t *testing.T) {
			var asked [][]byte
			var use usage.Usage
			conn := nlconn.New(nlconn.SockDiag, usage.SockDiag, nlconntest.Answers(&asked, c.answers...).Exchange)
			n, err := count(conn.Dump(t.Context(), nlconntest.Own{}, request{}, &use))
			check("Dump", n, asked, err, c.dumped, c.requests, c.want)
			if use.Sockets != int64(c.dumped) || use.Interrupted != strings.HasPrefix(c.name, "interrupted") {
				t.Errorf("%+v", use)
			}

			asked, use = nil, usage.Usage{}
			n, err = count(conn.List(t.Context(), nlconntest.Own{}, request{}, &use))
			requests, want := c.requests, c.want
			if c.again > 0 {
				requests = c.again
			}
			if c.name == "interrupted once" {
				want = ""
			}
			check("List", n, asked, err, c.listed, requests, want)
			if err == nil && use.Sockets != int64(c.listed) {
				t.Errorf("%+v", use)
			}
		})
	}
}

// A refusal is told apart from every other error, and says why.
func TestRefused(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.ENOENT, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOSYS, syscall.EINVAL} {
		for name, a := range map[string]nlconntest.Answer{
			"by a system call": failing(os.NewSyscallError("socket", errno)),
			"by the kernel":    answer(nlconntest.End(errno)),
		} {
			t.Run(errno.Error()+" "+name, func(t *testing.T) {
				conn := nlconn.New(nlconn.Route, usage.RTNetlink, nlconntest.Answers(new([][]byte), a).Exchange)
				_, dumped := count(conn.Dump(t.Context(), nlconntest.Own{}, request{}, &usage.Usage{}))
				_, listed := count(conn.List(t.Context(), nlconntest.Own{}, request{}, &usage.Usage{}))
				_, got := conn.Get(t.Context(), nlconntest.Own{}, request{}, &usage.Usage{})
				for _, err := range []error{dumped, listed, got} {
					if !errors.Is(err, nlconn.ErrRefused) || !errors.Is(err, errno) || !strings.HasPrefix(err.Error(), "rtnetlink is refused: ") {
						t.Errorf("got %v", err)
					}
				}
			})
		}
	}
}

// Of a list that is too long to be held the messages come as they are received;
// if it is then interrupted that is an error.
func TestLongList(t *testing.T) {
	one := message(1, 4096)
	many := slices.Repeat([][]byte{one}, 8<<20/4096+100)
	for name, last := range map[string][]byte{"whole": nlconntest.End(0), "interrupted": nlconntest.Interrupted()} {
		t.Run(name, func(t *testing.T) {
			var asked [][]byte
			conn := nlconn.New(nlconn.Route, usage.RTNetlink, nlconntest.Answers(&asked, answer(append(slices.Clip(many), last)...)).Exchange)
			n, err := count(conn.List(t.Context(), nlconntest.Own{}, request{}, &usage.Usage{}))
			if n != len(many) || len(asked) != 1 || errors.Is(err, nlconn.ErrInterrupted) != (name == "interrupted") || name == "whole" && err != nil {
				t.Errorf("%d of %d messages after %d requests, %v", n, len(many), len(asked), err)
			}
		})
	}
	t.Run("with an early end", func(t *testing.T) {
		var asked [][]byte
		conn := nlconn.New(nlconn.Route, usage.RTNetlink, nlconntest.Answers(&asked, answer(many...)).Exchange)
		n := 0
		for _, err := range conn.List(t.Context(), nlconntest.Own{}, request{}, &usage.Usage{}) {
			if n++; n == 3 || err != nil {
				break
			}
		}
		if n != 3 || len(asked) != 1 {
			t.Errorf("%d messages after %d requests", n, len(asked))
		}
	})
}

func TestGet(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer nlconntest.Answer
		want   string
	}{
		{"one", answer(message(1, 8)), ""},
		{"none", answer(nlconntest.End(0)), "empty"},
		{"damaged", answer(message(1, 8)[:20]), "too short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := nlconn.New(nlconn.SockDiag, usage.SockDiag, nlconntest.Answers(new([][]byte), c.answer).Exchange)
			m, err := conn.Get(t.Context(), nlconntest.Own{}, request{}, &usage.Usage{})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || err == nil && len(m.Payload) != 8 {
				t.Errorf("%+v, %v; want %q", m, err, c.want)
			}
		})
	}
}
