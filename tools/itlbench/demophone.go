package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"itlagent/agent/boot"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/comeback"
	"itlagent/testbench/wording"
)

// The phone of the demo, which registers and is told to reset.

// waitTime bounds every wait for the phone: generous, since it guards against hanging
// alone.
const waitTime = 2 * time.Minute

// plug plugs the phone in, which boots and registers, and prints what it shows.
func (s *demo) plug() (*boot.Report, error) {
	ctx, stop := context.WithCancel(context.Background())
	s.booted = make(chan *boot.Report, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.phone.Run(ctx, 24*time.Hour, nil, func(r *boot.Report) { s.booted <- r })
	}()
	s.unplug = func() { stop(); <-done; s.unplug = nil }
	r, err := s.booting("boots")
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(waitTime); len(wording.Registered(s.cluster)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, errors.New("the phone does not register")
		}
	}
	return r, nil
}

// reset tells the phone to reset, as utils reset devices does, and waits until it is back.
func (s *demo) reset() (*boot.Report, error) {
	return s.resets(func() error { return s.cluster.Apply(operation.ResetPhones("an administrator wanted it")) })
}

// resets does something after which the cluster tells the phone to reset, and waits until
// it is back.
func (s *demo) resets(do func() error) (*boot.Report, error) {
	w, err := comeback.Watch(s.cluster, nil)
	if err == nil {
		err = do()
	}
	if err != nil {
		return nil, err
	}
	r, err := s.booting("is told to reset, by NOTIFY")
	if err != nil {
		return nil, err
	}
	missing, err := w.Wait(context.Background(), nil)
	if err == nil && (len(missing) > 0 || w.Back() != 1) {
		err = fmt.Errorf("%d of %d phones came back", w.Back(), w.Len())
	}
	return r, err
}

// booting waits for a boot cycle of the phone and prints what it shows.
func (s *demo) booting(why string) (*boot.Report, error) {
	var r *boot.Report
	select {
	case r = <-s.booted:
	case <-time.After(waitTime):
		return nil, errors.New("the phone does not boot")
	}
	s.cycles++
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Transport != "" {
			s.files++
			if o.Verdict.Accepted {
				s.accepted++
			} else {
				s.rejected++
			}
		}
	}
	s.say("phone %s %s:", r.Device, why)
	for _, o := range []*boot.Outcome{&r.ITL, &r.Config} {
		verdict := fmt.Sprintf("rejected, %v", o.Verdict.Reason)
		if o.Verdict.Accepted {
			verdict = fmt.Sprintf("accepted via %v", o.Verdict.Via)
		}
		s.say("   %-28s %s", o.Name, verdict)
	}
	for _, m := range r.Messages {
		s.say("   %s %s", s.cluster.Now().Format("15:04:05"), m)
	}
	return r, nil
}
