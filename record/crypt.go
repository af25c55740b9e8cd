package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"filippo.io/age"
)

// encrypt makes a frame an age file of its own, so that neither the host nor
// whoever stores it reads it back, and each can be read without the others.
func (p *press) encrypt(plain []byte, to []age.Recipient) ([]byte, error) {
	const front = frontFree + frameHeader
	b := bytes.NewBuffer(append(p.sealed[:0], make([]byte, front)...))
	w, err := age.Encrypt(b, to...)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	p.sealed = b.Bytes()
	appendSkippable(p.sealed[:frontFree], magicEncrypted, nil)
	binary.LittleEndian.PutUint32(p.sealed[frontFree+4:], uint32(len(p.sealed)-front))
	return p.sealed, nil
}

func decrypt(sealed []byte, with []age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), with...)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSegment))
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	return plain, nil
}

// ParseRecipients reads age recipients, public keys "age1…".
func ParseRecipients(texts []string) ([]age.Recipient, error) {
	var list []age.Recipient
	for _, text := range texts {
		r, err := age.ParseRecipients(bytes.NewReader([]byte(text)))
		if err != nil || len(r) != 1 {
			return nil, fmt.Errorf("%q is not one age recipient (age1…): make one with age-keygen", text)
		}
		list = append(list, r...)
	}
	return list, nil
}
