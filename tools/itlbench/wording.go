package main

import "itlagent/testbench/wording"

// What pages show too is worded in one place.
var printJSON = wording.JSON
