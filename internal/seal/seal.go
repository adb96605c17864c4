// Package seal encrypts what must not be readable in the control database:
// connection URLs and the credentials of integrations. The keys live outside
// the database, in AUTHSYNC_ENCRYPTION_KEY. It stands beside the road of a
// webhook: package project opens with it the secrets that the receiver
// verifies with.
package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	keySize = 32 // bytes: AES-256

	// PrefixSize is what Tink writes before a ciphertext: a version byte and four bytes of key id.
	PrefixSize    = 5
	prefixVersion = 1
)

// HowToMakeKey is what a person is told who has no key yet.
const HowToMakeKey = "make one with: openssl rand -base64 32"

// Errors of Keyring.Open.
var (
	// ErrUnknownKey: the key that sealed the text is not among those configured.
	ErrUnknownKey = errors.New("sealed with a key that is not configured: add the key it was sealed with to AUTHSYNC_ENCRYPTION_KEY, behind the current one and a comma")
	// ErrNotGenuine: the sealed text was altered, or copied from another row.
	ErrNotGenuine = errors.New("the sealed text was altered or belongs to something else")
)

// Keyring seals with its first key and opens what any of its keys sealed, so
// that a key can be replaced without losing anything. It is safe for
// concurrent use.
type Keyring struct {
	aead      tink.AEAD
	newest    uint32          // id of the key that seals
	ids       map[uint32]bool // ids of all keys
	digestKey []byte          // derived from the key that seals
}

// NewKey makes a key in the form that ParseKeys takes.
func NewKey() string {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return base64.StdEncoding.EncodeToString(key)
}

// ParseKeys reads AUTHSYNC_ENCRYPTION_KEY: one or several 32-byte keys in
// base64, separated by commas; the first one seals. The error says what is
// wrong with which of them and never repeats any of the text.
func ParseKeys(text string) (*Keyring, error) {
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("AUTHSYNC_ENCRYPTION_KEY is not set; %s", HowToMakeKey)
	}
	params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
		KeySizeInBytes: keySize,
		IVSizeInBytes:  12,
		TagSizeInBytes: 16,
		Variant:        aesgcm.VariantTink,
	})
	if err != nil {
		return nil, fmt.Errorf("choose AES-256-GCM: %w", err)
	}

	ring := &Keyring{ids: map[uint32]bool{}}
	manager := keyset.NewManager()
	for i, field := range strings.Split(text, ",") {
		raw, err := decodeKey(field)
		if err != nil {
			return nil, fmt.Errorf("AUTHSYNC_ENCRYPTION_KEY: key %d %w; %s", i+1, err, HowToMakeKey)
		}
		id := keyID(raw)
		if ring.ids[id] {
			return nil, fmt.Errorf("AUTHSYNC_ENCRYPTION_KEY: key %d is there twice; remove one of the two", i+1)
		}
		ring.ids[id] = true

		key, err := aesgcm.NewKey(secretdata.NewBytesFromData(raw, insecuresecretdataaccess.Token{}), id, params)
		if err != nil {
			return nil, fmt.Errorf("take key %d: %w", i+1, err)
		}
		if _, err := manager.AddKey(key); err != nil {
			return nil, fmt.Errorf("add key %d: %w", i+1, err)
		}
		if i == 0 {
			ring.newest = id
			ring.digestKey = mac(raw, "authsync digest key")
			if err := manager.SetPrimary(id); err != nil {
				return nil, fmt.Errorf("seal with key 1: %w", err)
			}
		}
	}

	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("build the keyset: %w", err)
	}
	if ring.aead, err = aead.New(handle); err != nil {
		return nil, fmt.Errorf("build the cipher: %w", err)
	}
	return ring, nil
}

// Seal encrypts plain and binds it to what it is for: the same words must be
// given to open it, so that a sealed text copied to another row stays closed.
func (k *Keyring) Seal(plain []byte, boundTo ...string) ([]byte, error) {
	sealed, err := k.aead.Encrypt(plain, associatedData(boundTo))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made. Errors are ErrUnknownKey and ErrNotGenuine.
func (k *Keyring) Open(sealed []byte, boundTo ...string) ([]byte, error) {
	id, ok := sealedBy(sealed)
	if !ok {
		return nil, ErrNotGenuine
	}
	if !k.ids[id] {
		return nil, ErrUnknownKey
	}
	plain, err := k.aead.Decrypt(sealed, associatedData(boundTo))
	if err != nil {
		return nil, ErrNotGenuine
	}
	return plain, nil
}

// IsNewest reports whether the key that seals now also sealed this text.
func (k *Keyring) IsNewest(sealed []byte) bool {
	id, ok := sealedBy(sealed)
	return ok && id == k.newest
}

// IDs returns the ids of the keys, the one that seals first. An id says nothing that helps to guess its key.
func (k *Keyring) IDs() []string {
	ids := []string{idText(k.newest)}
	for _, id := range slices.Sorted(maps.Keys(k.ids)) {
		if id != k.newest {
			ids = append(ids, idText(id))
		}
	}
	return ids
}

// KeyOf returns the id of the key that sealed a text, of which the first PrefixSize bytes suffice; ok is false if Seal has
// not made it.
func KeyOf(sealed []byte) (id string, ok bool) {
	n, ok := sealedBy(sealed)
	return idText(n), ok
}

func idText(id uint32) string { return fmt.Sprintf("%08x", id) }

// digestSize is the number of bytes of a digest that are kept: too many to be met by chance.
const digestSize = 16

// Digest returns what tells equal texts of one purpose from others without saying what they are. Only whoever has the
// encryption key can try out guesses. It begins with the id of that key, because a digest by another one says nothing.
func (k *Keyring) Digest(purpose, text string) string {
	sum := mac(k.digestKey, string(associatedData([]string{purpose, text})))
	return fmt.Sprintf("hmac-sha256:%s:%x", idText(k.newest), sum[:digestSize])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func decodeKey(field string) ([]byte, error) {
	field = strings.TrimRight(strings.TrimSpace(field), "=")
	raw, err := base64.RawStdEncoding.Strict().DecodeString(field)
	if err != nil {
		return nil, errors.New("is not base64") // the error itself would quote a byte of the key
	}
	if len(raw) != keySize {
		return nil, fmt.Errorf("has %d bytes where %d are needed", len(raw), keySize)
	}
	if bytes.Count(raw, raw[:1]) == keySize {
		return nil, errors.New("is one byte repeated, not random")
	}
	return raw, nil
}

// keyID derives a key's id from the key, so that a sealed text finds its key
// whatever the order in which the keys are listed. It tells 32 bits about a
// hash of 256 random ones: nothing that helps to guess them.
func keyID(raw []byte) uint32 {
	sum := sha256.Sum256(append([]byte("authsync encryption key id\x00"), raw...))
	return max(binary.BigEndian.Uint32(sum[:4]), 1) // Tink takes no id 0
}

func sealedBy(sealed []byte) (id uint32, ok bool) {
	if len(sealed) < PrefixSize || sealed[0] != prefixVersion {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:PrefixSize]), true
}

// associatedData joins the words so that no two lists of words look alike.
func associatedData(words []string) []byte {
	var b []byte
	for _, w := range words {
		b = binary.AppendUvarint(b, uint64(len(w)))
		b = append(b, w...)
	}
	return b
}
