package localpg

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

// passwordRounds is how often a client of a throw-away server hashes the password for each of its connections.
// PostgreSQL's 4096 rounds are for passwords that can be guessed, which 128 random bits can't; they cost a client
// 1.4 ms, and one that looks for data races 18 ms: more than the rest of most connections of a test.
const passwordRounds = 1

// passwordForInitdb writes the file from which initdb reads the superuser's password: of a throw-away server what
// the server keeps of it, which PostgreSQL takes for such by its form, so that it has few rounds.
// A server that stays keeps PostgreSQL's: some drivers refuse fewer (RFC 7677 asks for 4096).
func (s *Server) passwordForInitdb(passwordFile string) (file string, err error) {
	if !s.config.Throwaway {
		return passwordFile, nil
	}
	kept, err := verifier(s.password, passwordRounds)
	if err != nil {
		return "", err
	}
	file = filepath.Join(s.dir, "verifier")
	if err := os.WriteFile(file, []byte(kept+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	return file, s.account.own(file)
}

// verifier is what a server keeps of a password to check it by SCRAM (RFC 5802), in the form of
// pg_authid.rolpassword.
func verifier(password string, rounds int) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, text(salt), text(stored[:]), text(sign(salted, "Server Key"))), nil
}

func sign(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
