package admin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/comeback"
	"itlagent/testbench/sip"
)

var deviceCommands = []command{
	{words: "utils reset devices", args: "[all | DEVICE | node NAME] [restart] [--rate N] [--no-wait]", max: 6, own: true,
		about: "tell registered phones to reset, or to restart, N a second, and count those that come back", run: resetDevices},
	{words: "show risdb query phone", about: "the phones that are registered with this cluster, or were", run: showRISDB},
}

// resetWords are what utils reset devices is given.
type resetWords struct {
	order  state.Order
	noWait bool
}

func (s *Session) parseReset(args []string) (w resetWords, err error) {
	w.order.Action = string(sip.Reset)
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		value := ""
		if word == "node" || word == "--rate" {
			if len(args) == 0 {
				return w, usageError(word + " wants a value behind it")
			}
			value, args = args[0], args[1:]
		}
		switch {
		case word == "all":
		case word == "node":
			w.order.Node = value
			if _, err := s.cluster.Node(value); err != nil {
				return w, usageError(err.Error())
			}
		case word == "restart":
			w.order.Action = string(sip.Restart)
		case word == "--no-wait":
			w.noWait = true
		case word == "--rate":
			if w.order.Rate, err = strconv.Atoi(value); err != nil || w.order.Rate < 1 || w.order.Rate > state.MaxRate {
				return w, usageError(fmt.Sprintf("--rate %s: from 1 to %d phones a second", value, state.MaxRate))
			}
		case strings.HasPrefix(strings.ToUpper(word), "SEP") && w.order.Device == "":
			w.order.Device = strings.ToUpper(word)
		default:
			return w, usageError(fmt.Sprintf("%s is neither all, nor a device such as SEP64A0E71502CC, nor restart", word))
		}
	}
	return w, nil
}

func resetDevices(s *Session, args []string) error {
	words, err := s.parseReset(args)
	if err != nil {
		return err
	}
	o := words.order
	w, err := comeback.Watch(s.cluster, func(p *registrar.Phone) bool {
		return (o.Device == "" || p.Device == o.Device) && (o.Node == "" || p.Node == o.Node)
	})
	if err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.Reset(o, "an administrator wanted it")); err != nil {
		return err
	}
	whom := "All devices were"
	switch {
	case o.Device != "":
		whom = o.Device + " was"
	case o.Node != "":
		whom = "The devices of " + o.Node + " were"
	}
	s.say("%s told to %s.", whom, o.Action)
	if w.Len() == 0 {
		s.say("None of them is registered.")
		return nil
	}
	if words.noWait || s.cluster.Muted() { // who runs the cluster resets them behind this command
		s.say("%d are registered.", w.Len())
		return nil
	}
	missing, err := w.Wait(context.Background(), s.Progress)
	if err != nil {
		return err
	}
	s.say("%d of %d came back.", w.Back(), w.Len())
	if len(missing) > 0 {
		slices.Sort(missing)
		const most = 5
		more := ""
		if len(missing) > most {
			more = fmt.Sprintf(" and %d more", len(missing)-most)
		}
		s.say("Not: %s%s", strings.Join(missing[:min(most, len(missing))], ", "), more)
		return errQuiet
	}
	return nil
}
