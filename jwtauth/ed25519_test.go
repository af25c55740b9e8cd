package jwtauth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
)

// unhurried has every multiplication of a test go without the table.
func unhurried(t testing.TB) {
	t.Cleanup(func() { multiplied.Store(few) })
	multiplied.Store(-1 << 30)
}

// Keys and signatures are those of crypto/ed25519, to the bit.
func TestEd25519WithoutTheTable(t *testing.T) {
	unhurried(t)
	for i := range 200 {
		seed := make([]byte, ed25519.SeedSize)
		message := make([]byte, i*3)
		_, _ = rand.Read(seed)
		_, _ = rand.Read(message)
		if i == 0 {
			clear(seed)
		}
		key := ed25519.NewKeyFromSeed(seed)
		if got := publicEd25519(seed); !bytes.Equal(got, key[ed25519.SeedSize:]) {
			t.Fatalf("seed %x: public key %x, want %x", seed, got, key[ed25519.SeedSize:])
		}
		if got, want := signEd25519(key, message), ed25519.Sign(key, message); !bytes.Equal(got, want) {
			t.Fatalf("seed %x, message %x: signature %x, want %x", seed, message, got, want)
		}
		if err := checkEd25519(key); err != nil {
			t.Error(err)
		}
		key[ed25519.PrivateKeySize-1-i%ed25519.SeedSize] ^= 1 << (i % 8)
		if checkEd25519(key) == nil && !bytes.Equal(key, ed25519.NewKeyFromSeed(key.Seed())) {
			t.Fatalf("%x is taken for a key", key)
		}
	}
	made := generateEd25519()
	if !bytes.Equal(made, ed25519.NewKeyFromSeed(made.Seed())) {
		t.Error("a key that was made does not match its public half")
	}
	if other := generateEd25519(); bytes.Equal(made, other) {
		t.Error("two keys are the same")
	}
	if checkEd25519(made[:40]) == nil {
		t.Error("a piece of a key is taken for one")
	}
}

// Only the first multiplications of a process are without the table.
func TestTheTableIsUsedLater(t *testing.T) {
	multiplied.Store(0)
	defer multiplied.Store(few)
	for i := range 3 * few {
		if got := withoutTable(); got != (i < few) {
			t.Errorf("multiplication %d: without the table %v", i+1, got)
		}
	}
}

func FuzzEd25519(f *testing.F) {
	unhurried(f)
	f.Add(bytes.Repeat([]byte{0xff}, ed25519.SeedSize), []byte("message"))
	f.Fuzz(func(t *testing.T, seed, message []byte) {
		if len(seed) != ed25519.SeedSize {
			return
		}
		key := ed25519.NewKeyFromSeed(seed)
		if got := signEd25519(key, message); !bytes.Equal(got, ed25519.Sign(key, message)) || !ed25519.Verify(key.Public().(ed25519.PublicKey), message, got) {
			t.Errorf("signature %x", got)
		}
	})
}

func BenchmarkSignWithoutTheTable(b *testing.B) {
	unhurried(b)
	key := generateEd25519()
	for b.Loop() {
		signEd25519(key, key)
	}
}
