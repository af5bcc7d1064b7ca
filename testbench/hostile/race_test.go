//go:build race

package hostile_test

// racing says that the race detector runs, which allocates too.
const racing = true
