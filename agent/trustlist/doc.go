// Package trustlist reads, checks and writes the signed files of Security By
// Default: identity trust lists (ITL), certificate trust lists (CTL), signed
// files (.sgn) and the headers of encrypted ones (.enc.sgn).
//
//	f, err := trustlist.Parse(trustlist.ITL, data)
//	for i := range f.Records {
//		fmt.Println(f.Records[i].Role(), f.Records[i].Subject())
//	}
//	err = f.CheckSignature(key)
//
// All four kinds share one layout: a header of elements, each a tag byte, a
// big-endian 16-bit length and a value; then either records of such elements up
// to the end of the file (lists), or the content that is signed (files). The
// signature covers the whole file with its own element cut out.
//
// A parsed File refers to the bytes that it was given and never copies them:
// the caller must not change them while the File is in use. A list of at most
// 65,535 bytes costs two allocations and at most 9 times its size. Certificates
// are decoded when asked for, not before. Nothing here knows whom to trust; that
// is package trust.
//
// The functions are pure, and a parsed File is safe for concurrent use.
//
// Sources: the public description of the format by the usecallmanager project,
// and the listings of `show itl` and `show ctl` in Cisco's support notes. What
// is inferred rather than read there stands in quirks.go.
package trustlist
