// Package hostile holds the campaigns against everything that reads what others have
// written: files that are mutated by the hundred thousand, servers that answer
// nonsense, clients that never end. It has tests alone.
//
//	go test -v ./testbench/hostile
//	go test ./testbench/hostile -mutations 1000000
//
// A failure prints the seed, and -seed repeats that one input.
package hostile
