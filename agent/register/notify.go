package register

import (
	"fmt"
	"strings"

	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

// handle answers a request of the server, and passes an order on once it is answered.
func (r *registration) handle(m *sip.Message, answer func([]byte) error) {
	transaction := m.Get("call-id") + " " + m.Get("cseq") + " " + m.Get("via")
	if transaction == r.last { // by UDP, where the answer was lost
		answer(r.said)
		return
	}
	status, order, err := r.judge(m)
	var more []sip.Field
	switch status {
	case notAllowed:
		more = append(more, sip.Field{Name: "Allow", Value: "NOTIFY,OPTIONS"})
	case badEvent:
		more = append(more, sip.Field{Name: "Allow-Events", Value: "service-control"})
	case tooMany:
		more = append(more, sip.Field{Name: "Retry-After", Value: fmt.Sprint(int(orderEvery.Seconds()))})
	}
	tag := ""
	if r.dialog != nil {
		tag = r.dialog.tag
	}
	if err != nil {
		r.c.refuse(&r.told, r.conn.Server().Address, fmt.Sprintf("%s: %v", printable.Clip(m.Method, 20), err))
	}
	r.last, r.said = transaction, m.Answer(status, tag, more...)
	if sent := answer(r.said); order != nil && sent == nil {
		r.c.conf.Log.Debugf("%s: %v", printable.Text(r.conn.Server().Address), order.Action)
		r.c.obey(*order)
	}
}

// Statuses of answers.
const (
	good       = "200 OK"
	bad        = "400 Bad Request"
	notAllowed = "405 Method Not Allowed"
	badEvent   = "489 Bad Event"
	tooMany    = "503 Service Unavailable"
)

// judge says how to answer a request, and what it tells the phone to do, if anything. err
// says why it is refused.
func (r *registration) judge(m *sip.Message) (status string, o *Order, err error) {
	switch m.Method {
	case "OPTIONS":
		return good, nil, nil
	case "NOTIFY":
	default:
		return notAllowed, nil, fmt.Errorf("a phone without calls does not take it")
	}
	var order Order
	event, _, _ := strings.Cut(m.Get("event"), ";")
	event = strings.ToLower(strings.TrimSpace(event))
	switch {
	case event == "check-sync" && checksSync(r.c.conf.Model):
		order = Order{Action: Reset, CallID: r.dialog.callID}
	case event != "service-control":
		return badEvent, nil, fmt.Errorf("event %q", printable.Clip(event, 40))
	default:
		if order, err = ReadOrder(m.Body); err != nil {
			return bad, nil, err
		}
	}
	switch {
	case !r.accepted.Load():
		return bad, nil, fmt.Errorf("%v, and the phone is not registered there", order.Action)
	case order.CallID != r.dialog.callID:
		return bad, nil, fmt.Errorf("%v for another registration (%q)", order.Action, printable.Clip(order.CallID, 80))
	case order.Action > CheckVersion:
		return good, nil, nil
	case !r.c.mayObey():
		return tooMany, nil, fmt.Errorf("%v: more than %d orders, then one each %v", order.Action, orderBurst, orderEvery)
	}
	return good, &order, nil
}
