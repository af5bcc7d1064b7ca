// Package rig drives a board that has a line and a power supply, wherever it is: the phone
// on it takes part in scenarios, and its power is cut at random moments.
//
//	relay := rig.NewRelay(rig.RelayOptions{Line: line, Supply: supply}) // a board that is there
//	phone := rig.NewPhone(relay, servers)
//	cycle, err := phone.Cycle(ctx) // turns it on, and types at its shell
//
// A Relay is a board behind a serial line, with a command that switches its power;
// tools/qemu has the emulated Rig. A Phone is a scenario.Handset, a Campaign cuts the
// power. Nothing here is safe for concurrent use.
package rig

import (
	"context"
	"errors"
	"time"

	"itlagent/tools/expect"
)

// Rig is a board with a line and power.
type Rig interface {
	// On turns the power on and returns the console, which reads what the board says
	// from then on. booting is false where the board ran already and nothing can
	// switch it: its phone has booted.
	On(ctx context.Context) (console *expect.Expect, booting bool, err error)
	// Off cuts the power, or is ErrNoPower.
	Off(ctx context.Context) error
	// Leave ends the use by one phone: an emulated board is turned off, one that is
	// there stays on.
	Leave()
}

// Configurer is a Rig that tells the phone its TFTP servers when it boots, as DHCP does.
// The phone of another one is told by its shell, and then keeps them on its flash.
type Configurer interface{ Configure(servers []string) }

// Flash is a Rig whose flash can be read while its power is off. Vault returns the bytes
// of the vault, or ErrNotSeen.
type Flash interface{ Vault() ([]byte, error) }

var (
	// ErrNoPower says that nothing switches a board's power.
	ErrNoPower = errors.New("nothing switches the board's power")
	// ErrNotSeen says that a board's flash cannot be read from outside.
	ErrNotSeen = errors.New("the flash cannot be read from outside")
	// ErrLogin says that a phone's shell asks who is there.
	ErrLogin = errors.New("the phone's shell asks for a login")
)

// Patience is how long a board may take to boot, or for a boot cycle: emulated ones on a
// busy machine are slow.
const Patience = 2 * time.Minute

// commandTime is how long the echo of a command may take, or a question of it: an
// emulated board that computes keys beside others on a busy machine is mute for long.
const commandTime = Patience
