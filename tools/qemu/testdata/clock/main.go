// Clock is the first process of a board that sets its clock further and further.
package main

import (
	"fmt"
	"time"

	"itlagent/platform/linuxinit"
)

func main() {
	fmt.Println("clock: mount", linuxinit.Mount())
	for _, year := range []int{2038, 2106, 2200} {
		at := time.Date(year, 3, 1, 0, 0, 0, 0, time.UTC) // behind what 32 bits hold in these years
		set, err := linuxinit.Clock(at)
		fmt.Println("clock: set", year, set, err)
		time.Sleep(time.Second)
		set, err = linuxinit.Clock(at)
		fmt.Println("clock: again", year, set, err)
		fmt.Println("clock: now", linuxinit.Now().UTC().Format("2006-01-02"))
	}
	fmt.Println("clock: off", linuxinit.PowerOff())
}
