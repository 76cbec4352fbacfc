// Judges what Chaperone writes of its transparency log, and makes its own, with the modules that others use: x/mod's tlog and note,
// Tessera and torchwood. Reads a question a line in JSON, and answers each with a line.
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"k8s.io/klog/v2"
)

// A question of each kind has some of these. Bytes are base64.
type question struct {
	Ask       string
	Note      []byte
	Keys      []string
	Text      string
	Policy    []byte
	Proof     []byte
	Leaf      []byte
	Path      [][]byte
	Root      []byte
	OlderRoot []byte
	Size      int64
	Older     int64
	Index     int64
	Level     int64
	Dir       string
	Name      string
	Seed      []byte
}

type answer struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Value any    `json:"value,omitempty"`
}

func main() {
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	decoder := json.NewDecoder(in)
	for {
		var q question
		if err := decoder.Decode(&q); err == io.EOF {
			return
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		value, err := reply(&q)
		a := answer{OK: err == nil, Value: value}
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := out.Encode(a); err != nil {
			os.Exit(1)
		}
	}
}

func reply(q *question) (any, error) {
	switch q.Ask {
	case "open":
		return open(q)
	case "checkpoint":
		c, err := torchwood.ParseCheckpoint(q.Text)
		return map[string]any{"origin": c.Origin, "size": c.N, "root": c.Hash[:]}, err
	case "inclusion":
		return nil, tlog.CheckRecord(hashes(q.Path), q.Size, tlog.Hash(q.Root), q.Index, tlog.Hash(q.Leaf))
	case "consistency":
		return nil, tlog.CheckTree(hashes(q.Path), q.Size, tlog.Hash(q.Root), q.Older, tlog.Hash(q.OlderRoot))
	case "prove":
		return prove(q)
	case "policy":
		_, err := torchwood.ParsePolicy(q.Policy)
		return nil, err
	case "proof":
		policy, err := torchwood.ParsePolicy(q.Policy)
		if err != nil {
			return nil, err
		}
		return nil, torchwood.VerifyProof(policy, tlog.Hash(q.Leaf), q.Proof)
	case "path":
		return map[string]string{
			"tile":    layout.TilePath(uint64(q.Level), uint64(q.Index), uint8(q.Size)),
			"entries": layout.EntriesPath(uint64(q.Index), uint8(q.Size)),
		}, nil
	case "fsck":
		return nil, check(q)
	case "grow":
		return grow(q)
	case "sign":
		return sign(q)
	}
	return nil, fmt.Errorf("this is not asked here: %q", q.Ask)
}

func hashes(path [][]byte) []tlog.Hash {
	list := make([]tlog.Hash, len(path))
	for i, hash := range path {
		list[i] = tlog.Hash(hash)
	}
	return list
}

// Who has signed a note, of these keys.
func open(q *question) (any, error) {
	var known []note.Verifier
	for _, key := range q.Keys {
		v, err := torchwood.NewLogVerifier(key)
		if err != nil {
			if v, err = torchwood.NewCosignatureVerifier(key); err != nil {
				return nil, err
			}
		}
		known = append(known, v)
	}
	n, err := note.Open(q.Note, note.VerifierList(known...))
	if err != nil {
		return nil, err
	}
	signers := []string{}
	for _, s := range n.Sigs {
		signers = append(signers, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
	}
	return map[string]any{"text": n.Text, "signers": signers}, nil
}

type storage []tlog.Hash

func (s storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		list[i] = s[index]
	}
	return list, nil
}

var stored storage
var leaves int64

// Proofs of a tree whose entries are "entry 0", "entry 1" and so on.
func prove(q *question) (any, error) {
	for ; leaves < q.Size; leaves++ {
		more, err := tlog.StoredHashes(leaves, fmt.Appendf(nil, "entry %d", leaves), stored)
		if err != nil {
			return nil, err
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(q.Size, stored)
	if err != nil {
		return nil, err
	}
	inclusion, err := tlog.ProveRecord(q.Size, q.Index, stored)
	if err != nil {
		return nil, err
	}
	var consistency tlog.TreeProof
	if q.Older > 0 {
		if consistency, err = tlog.ProveTree(q.Size, q.Older, stored); err != nil {
			return nil, err
		}
	}
	return map[string]any{"root": root[:], "inclusion": bytes(inclusion), "consistency": bytes(consistency)}, nil
}

func bytes(path []tlog.Hash) [][]byte {
	list := make([][]byte, len(path))
	for i := range path {
		list[i] = path[i][:]
	}
	return list
}

func leafHashes(bundle []byte) ([][]byte, error) {
	var entries api.EntryBundle
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	list := make([][]byte, len(entries.Entries))
	for i, entry := range entries.Entries {
		list[i] = rfc6962.DefaultHasher.HashLeaf(entry)
	}
	return list, nil
}

// Checks a whole log in a directory.
func check(q *question) error {
	v, err := note.NewVerifier(q.Keys[0])
	if err != nil {
		return err
	}
	// It waits for ever where a check has failed and more than N are left.
	return fsck.New(v.Name(), v, client.FileFetcher{Root: q.Dir}, leafHashes, fsck.Opts{N: 512}).Check(context.Background())
}

// Makes a log of entries "entry 0" and so on in a directory, or lets one grow to this size.
func grow(q *question) (any, error) {
	ctx := context.Background()
	signer, key, err := logKey(q)
	if err != nil {
		return nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: q.Dir})
	if err != nil {
		return nil, err
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer).
		WithBatching(uint(q.Size-q.Older), 50*time.Millisecond).WithCheckpointInterval(100 * time.Millisecond)
	appender, stop, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return nil, err
	}
	await := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 20*time.Millisecond)
	for i := q.Older; i < q.Size; i++ {
		future := appender.Add(ctx, tessera.NewEntry(fmt.Appendf(nil, "entry %d", i)))
		if i == q.Size-1 {
			if _, _, err := await.Await(ctx, future); err != nil {
				return nil, err
			}
		}
	}
	return map[string]string{"key": key}, stop(ctx)
}

func logKey(q *question) (note.Signer, string, error) {
	private := ed25519.NewKeyFromSeed(q.Seed)
	key, err := note.NewEd25519VerifierKey(q.Name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, "", err
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, "", err
	}
	return &signer{v, private}, key, nil
}

type signer struct {
	note.Verifier
	private ed25519.PrivateKey
}

func (s *signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.private, msg), nil }

// Signs a text with keys of every kind that come of one seed, and says which.
func sign(q *question) (any, error) {
	logSigner, key, err := logKey(q)
	if err != nil {
		return nil, err
	}
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), q.Seed)
	if err != nil {
		return nil, err
	}
	signers := []note.Signer{logSigner}
	keys := []string{key}
	other := sha256.Sum256(q.Seed)
	cosigner := ed25519.NewKeyFromSeed(other[:])
	if s, err := torchwood.NewCosignatureSigner("witness.example/ed25519", cosigner); err != nil {
		return nil, err
	} else {
		signers, keys = append(signers, s), append(keys, s.Verifier().String())
	}
	if s, err := torchwood.NewCosignatureSigner("witness.example/ml-dsa", pq); err != nil {
		return nil, err
	} else {
		signers, keys = append(signers, s), append(keys, s.Verifier().String())
	}
	signed, err := note.Sign(&note.Note{Text: q.Text}, signers...)
	if err != nil {
		return nil, err
	}
	proof := torchwood.FormatProof(q.Index, hashes(q.Path), signed)
	return map[string]any{"note": signed, "keys": keys, "proof": proof}, nil
}
