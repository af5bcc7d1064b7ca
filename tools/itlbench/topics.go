package main

import (
	"maps"
	"slices"
)

// topics are what help explains beside commands.
func topics() map[string]string {
	return map[string]string{
		"exit-codes": `0  yes, or done
1  the checked thing is not so: rejected, locked, damaged, not safe
2  wrong usage: a command, flag or value that does not exist, or an invalid profile
3  the surroundings failed: network, disk, a file that is missing or may not be read
4  skipped, for this machine lacks something
`,
		"environment": `ITLBENCH_DIR     directory of the cluster, where no --dir is given
ITLBENCH_LOG     log of itlbench console, where no --log is given
ITLBENCH_ESCAPE  its prefix key, where no --escape is given
ITLBENCH_POWER   its power switch, where no --power is given
NO_COLOR         where it is set and not empty, nothing is coloured
TMPDIR           where what is needed for a while is kept
XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR
                 where targets are described, logs of consoles are kept, and
                 consoles of one line find each other
`,
		"output": `Data goes to standard output, talk to standard error. An error is one line that
begins with "itlbench: "; what helps is a line behind it that begins with "hint: ".
--json prints one object a line. Text from outside is made harmless before it is shown.
`,
	}
}

func topicNames() []string { return slices.Sorted(maps.Keys(topics())) }
