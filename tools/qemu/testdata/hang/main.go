// Hang is the first process of a board that feeds its watchdog and then hangs, or,
// with the argument "close", ends in order.
package main

import (
	"fmt"
	"os"
	"time"

	"itlagent/platform/linuxinit"
)

const (
	timeout = 5 * time.Second
	pause   = 3 * time.Second // three of them are longer than the timeout
)

func main() {
	check(linuxinit.Mount())
	fmt.Println("hang: up")
	w, err := linuxinit.OpenWatchdog("/dev/watchdog", timeout)
	check(err)
	fmt.Println("hang: timeout", w.Timeout())
	for n := range 3 {
		time.Sleep(pause)
		check(w.Feed())
		fmt.Println("hang: fed", n+1)
	}
	if len(os.Args) > 1 && os.Args[1] == "close" {
		check(w.Close())
		time.Sleep(2 * timeout)
		fmt.Println("hang: not reset")
		check(linuxinit.PowerOff())
	}
	fmt.Println("hang: hangs")
	for { // with all goroutines asleep Go would panic, and the kernel with it
	}
}

func check(err error) {
	if err != nil {
		fmt.Println("hang: error:", err)
		time.Sleep(time.Hour) // a panic would look like a reset
	}
}
