package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// server is an sshd on loopback: the protocol is real, commands are not run but answered.
type server struct {
	t        testing.TB
	address  string
	host     string
	port     int
	listener net.Listener

	mu        sync.Mutex
	key       ssh.Signer
	users     map[string][]ssh.PublicKey
	banner    string
	deaf      bool // takes connections and requests, and says nothing
	conns     []net.Conn
	logins    int
	forwarded []string
	served    sync.WaitGroup
}

func newServer(t testing.TB) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := l.Addr().(*net.TCPAddr)
	s := &server{t: t, address: a.String(), host: "127.0.0.1", port: a.Port, listener: l, users: map[string][]ssh.PublicKey{}}
	s.key, _ = newKey(t, "")
	s.served.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	_ = s.listener.Close()
	s.drop()
	s.served.Wait()
}

// locked does something with what the server goes by.
func (s *server) locked(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// drop cuts all connections.
func (s *server) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// newKey makes a key, and writes it to a file unless that is empty.
func newKey(t testing.TB, file string) (ssh.Signer, ssh.PublicKey) {
	return newKeyWith(t, file, "")
}

func newKeyWith(t testing.TB, file, passphrase string) (ssh.Signer, ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if file != "" {
		var block *pem.Block
		if passphrase == "" {
			block, err = ssh.MarshalPrivateKey(private, "")
		} else {
			block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return signer, signer.PublicKey()
}

// allow lets a user log in with a key.
func (s *server) allow(user string, key ssh.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[user] = append(s.users[user], key)
}

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		deaf := s.deaf
		s.mu.Unlock()
		if !deaf {
			s.served.Go(func() { s.serve(conn) })
		}
	}
}

func (s *server) serve(conn net.Conn) {
	s.mu.Lock()
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if slices.ContainsFunc(s.users[c.User()], func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) }) {
				return nil, nil
			}
			return nil, fmt.Errorf("no")
		},
		BannerCallback: func(ssh.ConnMetadata) string { return s.banner },
	}
	config.AddHostKey(s.key)
	s.mu.Unlock()
	c, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		_ = conn.Close()
		return
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	s.served.Go(func() {
		for r := range requests {
			s.mu.Lock()
			deaf := s.deaf
			s.mu.Unlock()
			if r.WantReply && !deaf {
				_ = r.Reply(false, nil)
			}
		}
	})
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			s.served.Go(func() { s.session(c.User(), ch) })
		case "direct-tcpip":
			s.served.Go(func() { s.forward(ch) })
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "")
		}
	}
}

func (s *server) session(user string, ch ssh.NewChannel) {
	c, requests, err := ch.Accept()
	if err != nil {
		return
	}
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		command := string(r.Payload[4:])
		s.served.Go(func() {
			code := uint32(0)
			switch {
			case command == "cat":
				_, _ = io.Copy(c, c)
			case command == "hang":
				return
			case command == "talk": // for half a second
				for range 100 {
					fmt.Fprint(c, ".")
					time.Sleep(5 * time.Millisecond)
				}
			case strings.HasPrefix(command, "exit "):
				_, _ = fmt.Sscanf(command, "exit %d", &code)
				fmt.Fprint(c.Stderr(), "failed")
			default:
				fmt.Fprintf(c, "%s ran %s", user, command)
			}
			_, _ = c.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, code))
			_ = c.Close()
		})
	}
}

func (s *server) forward(ch ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(ch.ExtraData(), &to); err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	address := net.JoinHostPort(to.Host, fmt.Sprint(to.Port))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	s.mu.Lock()
	s.forwarded = append(s.forwarded, address)
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	c, requests, err := ch.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	s.served.Go(func() { _, _ = io.Copy(c, conn); _ = c.Close() })
	_, _ = io.Copy(conn, c)
	_ = conn.Close()
}
