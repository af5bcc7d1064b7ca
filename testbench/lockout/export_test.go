package lockout

import "itlagent/testbench/pki"

// What tests that carry plans and remedies out on a live bench need of an action.

// Action is one of the actions of a remedy.
type Action = action

// Actions returns the actions of a remedy, in order.
func (r *Remedy) Actions() []action { return r.actions }

// Actions returns the actions of a change, in order.
func (ch *Change) Actions() []action { return ch.actions }

// Do makes a change to a world.
func (ch *Change) Do(w World) error { return ch.do(w) }

// Move is what a change does to a phone without a reset.
func (ch *Change) Move(w World, p Phone) (Phone, error) { return ch.move(w, p) }

// Place returns which cluster of the world the action is done to.
func (a *action) Place() int { return a.cluster }

// In returns the action for another place in a world.
func (a action) In(place int) *Action { a.cluster = place; return &a }

// Key returns the saved key that the action uses, nil for none.
func (a *action) Key() *pki.Identity { return a.key }

// Commands returns what is typed for the action.
func (a *action) Commands(w World) []Command { return a.commandsIn(w) }

// Import has a cluster of a world import the certificates of another one.
func Import(w World, into, from int) error {
	a := action{op: importCertificates(), cluster: into, from: from}
	_, err := a.apply(w, Phone{})
	return err
}
