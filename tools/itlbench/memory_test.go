//go:build !race

package main

// memoryLimit bounds the programs of scripts that read input without an end, in KiB
// of address space (ulimit -v).
const memoryLimit = "4000000"
