package state

import (
	"fmt"
	"slices"
	"strings"
)

// Order tells registered phones to reset. The nodes with which they are registered pass
// it on.
type Order struct {
	Number int    // counts the orders of a cluster, from 1 on
	Action string // what phones are told, as "reset" or "restart"
	Device string `json:",omitempty"` // "SEP64A0E71502CC": this phone alone
	Node   string `json:",omitempty"` // the phones that are registered with this node alone
	Rate   int    `json:",omitempty"` // phones a second, a node; 0 leaves it to the node
}

// maxOrders bounds the orders that are remembered: nodes follow them within seconds.
const maxOrders = 32

// MaxRate bounds how many phones a second may be told.
const MaxRate = 10_000

// AddOrder gives an order its number, and tells of it.
func (s *State) AddOrder(o Order) {
	s.Resets++
	o.Number = s.Resets
	s.Orders = append(s.Orders, o)
	if over := len(s.Orders) - maxOrders; over > 0 {
		s.Orders = slices.Clone(s.Orders[over:])
	}
}

// OrdersAfter returns the orders behind a number that are for the phones of a node.
func (s *State) OrdersAfter(number int, node string) (orders []Order) {
	for _, o := range s.Orders {
		if o.Number > number && (o.Node == "" || o.Node == node) {
			orders = append(orders, o)
		}
	}
	return orders
}

// Ordered returns the number of the last order that is for a phone: one of its own, or
// one for all. Orders for the phones of a node count too, since any may be there.
func (s *State) Ordered(device string) int {
	for _, o := range slices.Backward(s.Orders) {
		if o.Device == "" || strings.EqualFold(o.Device, device) {
			return o.Number
		}
	}
	return 0
}

func (s *State) checkOrders() error {
	for i, o := range s.Orders {
		if o.Number < 1 || o.Number > s.Resets || o.Rate < 0 || o.Rate > MaxRate || i > 0 && o.Number <= s.Orders[i-1].Number {
			return fmt.Errorf("[%d]: number %d of %d, rate %d", i, o.Number, s.Resets, o.Rate)
		}
	}
	return nil
}
