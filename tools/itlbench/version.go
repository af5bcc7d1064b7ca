package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// runVersion prints what the build says of itself.
func runVersion(e *env, args []string) int {
	f := e.flags("version")
	asJSON := f.Bool("json", false, "print one JSON object")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	v := buildVersion()
	if *asJSON {
		printJSON(e.stdout, v)
		return exitOK
	}
	fmt.Fprintf(e.stdout, "itlbench %s\ncommit %s\n%s %s\n", v.Version, v.Commit, v.Go, v.Platform)
	return exitOK
}

// versionJSON is the object that `version --json` prints.
type versionJSON struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildVersion() versionJSON {
	v := versionJSON{"unknown", "unknown", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = firstOf(info.Main.Version, v.Version)
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Commit += ", modified"
		}
	}
	return v
}
