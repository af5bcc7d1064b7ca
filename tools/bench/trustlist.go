package main

import (
	"crypto"
	"crypto/rsa"
	"fmt"
	"slices"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

// trustlistRows compares reading and verifying a list with the bare hash and RSA
// operation over the same bytes.
func trustlistRows() ([]row, error) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		return nil, err
	}
	note, err := verifyRow("list of the note, RSA-1024 SHA-1", c.Publisher().ITL())
	if err != nil {
		return nil, err
	}
	rows := []row{note}
	for _, k := range []struct {
		bits   int
		digest trustlist.Digest
	}{{1024, trustlist.SHA512}, {2048, trustlist.SHA1}, {2048, trustlist.SHA512}, {4096, trustlist.SHA1}, {4096, trustlist.SHA512}} {
		id, err := pki.New(pki.Request{Subject: pki.Name{CN: "pub.example.lab"}, Bits: k.bits, From: time.Unix(1393409067, 0)})
		if err != nil {
			return nil, err
		}
		record := trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate}
		data, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.ITL, Digest: k.digest, Time: time.Unix(1393409067, 0),
			Records: slices.Repeat([]trustlist.RecordSpec{record}, 3)}, id.SigningKey())
		if err != nil {
			return nil, err
		}
		r, err := verifyRow(fmt.Sprintf("list of %d bytes, RSA-%d %v", len(data), k.bits, k.digest), data)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// verifyRow compares parse and verify with the hash and RSA operation alone.
func verifyRow(what string, data []byte) (row, error) {
	f, err := trustlist.Parse(trustlist.ITL, data)
	if err != nil {
		return row{}, err
	}
	i, err := f.CheckOwn()
	if err != nil {
		return row{}, err
	}
	key, err := f.Records[i].RSAKey()
	if err != nil {
		return row{}, err
	}
	at := f.SignatureOffset() - 3
	signed := slices.Concat(data[:at], data[at+3+len(f.Signature):])
	hash := f.Digest.Hash()
	return row{
		what: what, peerName: "bare verify", goal: 1.25,
		ours: func(b *testing.B) {
			for b.Loop() {
				f, err := trustlist.Parse(trustlist.ITL, data)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.CheckOwn(); err != nil {
					b.Fatal(err)
				}
			}
		},
		peer: func(b *testing.B) {
			for b.Loop() {
				if err := bareVerify(key, hash, signed, f.Signature); err != nil {
					b.Fatal(err)
				}
			}
		},
	}, nil
}

func bareVerify(key *rsa.PublicKey, hash crypto.Hash, signed, signature []byte) error {
	h := hash.New()
	h.Write(signed)
	return rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), signature)
}
