// Package targets are boards by name, in a file of the engineer's: how each is reached,
// switched and started.
//
//	targets:
//	  bbb:
//	    console: usb:A50285BI
//	    power: /usr/local/bin/relay 3
//	    board: beaglebone-black
//
//	all, err := targets.Read("targets.yaml")
//	t, ok := all["bbb"]
//
// Unknown keys are errors, with their line. What Read returns is safe for concurrent use.
package targets

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"itlagent/platform/serial"
	"itlagent/platform/strictyaml"
)

// Target is one board.
type Target struct {
	Console string `yaml:"console"` // the line, as serial.ParseName reads it
	Power   string `yaml:"power"`   // as power.Parse reads it
	Board   string `yaml:"board"`   // name or file of its description
	Images  string `yaml:"images"`  // folder of what is flashed
	Log     string `yaml:"log"`     // of the console
	Escape  string `yaml:"escape"`  // prefix of the console's keys
	Boot    Boot   `yaml:"boot"`
}

// Boot is how its boot loader is stopped, where it is not as usual.
type Boot struct {
	Prompt   string `yaml:"prompt"`
	Key      string `yaml:"key"`      // that stops it
	Password string `yaml:"password"` // that it asks for
}

// Default is where the file is: the value of ITLBENCH_TARGETS, or targets.yaml in the
// user's configuration, itlbench.
func Default() string {
	if name := os.Getenv("ITLBENCH_TARGETS"); name != "" {
		return name
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "itlbench", "targets.yaml")
}

// Read reads a file.
func Read(name string) (map[string]Target, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
	if err != nil {
		return nil, err
	}
	all, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

var targetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$`)

func parse(data []byte) (map[string]Target, error) {
	var file struct {
		Targets map[string]Target `yaml:"targets"`
	}
	if err := strictyaml.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	for name, t := range file.Targets {
		if !targetName.MatchString(name) {
			return nil, fmt.Errorf("invalid name %q of a target: want up to 41 letters, digits, '.', '_' and '-'", name)
		}
		if t.Console == "" {
			return nil, fmt.Errorf("target %s: want its console", name)
		}
		if _, err := serial.ParseName(t.Console); err != nil {
			return nil, fmt.Errorf("target %s: %w", name, err)
		}
	}
	return file.Targets, nil
}
