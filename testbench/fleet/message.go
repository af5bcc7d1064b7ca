package fleet

import "time"

// The types that cross between a controller and its workers. What comes from outside is
// bounded by the limits below, and by Spec.Check and Range.in.

//go:generate go tool msgp -o=message_gen.go -io=false -tests=false

//msgp:limit arrays:10000 maps:64
//msgp:shim time.Duration as:int64 using:int64/time.Duration

// Spec says what a fleet is made of. It is the same for all that run parts of one fleet.
type Spec struct {
	First   string   // MAC address of the first phone; the others follow
	Count   int      // 1 to MaxCount
	Models  []string // that the phones have in turn
	Servers []string // TFTP; the phones begin with them in turn
	AtOnce  int      // boot cycles at once in one process
	Ramp    time.Duration
	Jitter  time.Duration // by up to which each start comes later
	Seed    uint64        // of the jitter
	Source  string        // the prefix that the phones have their addresses of; "" takes the machine's
	MICs    int           // certificates of a maker, which the phones have in turn; 0: none
	// Register lets the phones stay registered with their call managers.
	Register bool
	Interval time.Duration // between boot cycles that nobody asks for
}

// Range is a part of a fleet: the phones from From on, up to and without To.
type Range struct{ From, To int }

// File is what a phone made of one file of its last boot cycle.
type File struct {
	Name   string
	Reason string // "accepted", or the reason of trust.Reason
	Via    string
}

// Result is what came of the last boot cycle of one phone.
type Result struct {
	Index  int
	Device string // "SEP64A0E71502CC"
	Model  string
	State  State
	Reason string // of the whole boot cycle, as trust.Reason prints it
	ITL    File
	CTL    File
	Config File
	// Held are the SHA-1 of the lists and the configuration in force, in hex; "" where
	// there is none.
	HeldCTL, HeldITL, HeldConfig string
	Boots                        int           // boot cycles that had an outcome
	Took                         time.Duration // from the wish to boot to the outcome
	Registered                   string        // the call manager that has it; "" without
}

// State is how a phone stands.
type State int

// The states, in the order of tables.
const (
	Waiting  State = iota // it has not begun its first boot cycle
	Booting               // in its first boot cycle
	Trusted               // it trusts its cluster, or works without lists
	Locked                // it refuses what its cluster serves
	Unserved              // it got nothing that it could use
	states
)

// String returns the state's name.
func (s State) String() string {
	names := [...]string{"waiting", "booting", "trusted", "locked", "unserved"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Job is a range of a fleet that is to do one step of a run.
type Job struct {
	Run  string // letters and digits
	Step int    // from 0 on: a boot cycle of each phone
	Of   Range
	Spec Spec
}

// Outcome is what a worker tells of one phone and step. Of two, the one of the later epoch
// counts.
type Outcome struct {
	Run    string
	Step   int
	Epoch  int // how often the job was handed out
	Worker string
	Result Result
}

// Beat is what a worker tells of itself, and what a controller tells of its run.
type Beat struct {
	Version int
	Worker  string // of a worker: its name
	Run     string
	Step    int
	Of      Range
	Phones  int
	Done    int
	Trusted int
	Time    time.Time
}

// Command is what a controller tells all workers.
type Command struct {
	Run  string
	Kind string // "abort" ends the run's jobs
}

// Checkpoint is what the phones of a range hold behind a step. Values that several have are
// in it once.
type Checkpoint struct {
	Run    string
	Step   int
	Of     Range
	Values [][]byte
	Phones []Held
}

// Held is what one phone holds.
type Held struct {
	Keys    []string
	Values  []int // of each key, the place in the checkpoint's values
	Boots   int
	Answers []Answer
}

// Answer is an answer of TVS that a phone remembers.
type Answer struct {
	Subject, Issuer string
	Serial, Cert    []byte
	Roles           []int
	Server          string
	Expires         time.Time
}
