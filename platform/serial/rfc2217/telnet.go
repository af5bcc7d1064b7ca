// Package rfc2217 is a serial port over TCP with its modes, breaks and modem lines: both
// ends of RFC 2217, on telnet (RFC 854, RFC 855).
//
//	line, err := rfc2217.Dial(ctx, "board.lab:4000", serial.Default)
//	port := rfc2217.NewServer(conn, control) // the other end: port.Read, port.Write
//
// It is patient with peers: one that refuses the option carries bytes all the same, one
// that does not acknowledge is waited for once, and what is unknown is ignored. Bytes go
// as in telnet's binary mode whether the peer agrees to that or not, as all known peers
// do. Suspending the flow of bytes is left to TCP.
//
// Whatever arrives, a command takes at most maxCommand bytes of memory.
package rfc2217

import "bytes"

// Telnet's commands, RFC 854.
const (
	se   = 240
	sb   = 250
	will = 251
	wont = 252
	do   = 253
	dont = 254
	iac  = 255
)

// Telnet's options.
const (
	optBinary  = 0  // RFC 856
	optEcho    = 1  // RFC 857
	optSGA     = 3  // suppress go ahead, RFC 858
	optComPort = 44 // RFC 2217
)

// Commands from client to server, RFC 2217 section 3. Answers are 100 more.
const (
	cmdSignature      = 0
	cmdBaud           = 1
	cmdDataSize       = 2
	cmdParity         = 3
	cmdStopSize       = 4
	cmdControl        = 5
	cmdLineState      = 6
	cmdModemState     = 7
	cmdLineStateMask  = 10
	cmdModemStateMask = 11
	cmdPurge          = 12

	answer = 100
)

// Values of cmdControl.
const (
	ctlFlowQuery  = 0
	ctlFlowNone   = 1
	ctlFlowXON    = 2
	ctlFlowRTS    = 3
	ctlBreakQuery = 4
	ctlBreakOn    = 5
	ctlBreakOff   = 6
	ctlDTRQuery   = 7
	ctlDTROn      = 8
	ctlDTROff     = 9
	ctlRTSQuery   = 10
	ctlRTSOn      = 11
	ctlRTSOff     = 12
	ctlInFlow     = 13 // query
	ctlInFlowNone = 14
)

// Bits of the modem state, section 4.
const (
	stateCTS = 0x10
	stateDSR = 0x20
	stateRI  = 0x40
	stateDCD = 0x80
)

// maxCommand bounds a command between IAC SB and IAC SE, in bytes: those that are known
// have five, and a signature is text. What is longer is dropped.
const maxCommand = 256

// parser takes a telnet stream apart. Its zero value is at the start of one.
type parser struct {
	state   parserState
	verb    byte
	command []byte
	long    bool // the command is dropped

	option  func(verb, option byte)
	handler func(command byte, value []byte)
}

type parserState int

const (
	inData parserState = iota
	behindIAC
	behindVerb
	inCommand
	behindIACInCommand
)

// data returns the bytes among b that are data, in b's own memory, and hands commands on.
func (p *parser) data(b []byte) []byte {
	out := b[:0]
	for _, c := range b {
		switch p.state {
		case inData:
			if c == iac {
				p.state = behindIAC
			} else {
				out = append(out, c)
			}
		case behindIAC:
			p.state = inData
			switch c {
			case iac:
				out = append(out, c)
			case will, wont, do, dont:
				p.verb, p.state = c, behindVerb
			case sb:
				p.command, p.long, p.state = p.command[:0], false, inCommand
			}
		case behindVerb:
			p.state = inData
			p.option(p.verb, c)
		case inCommand:
			if c == iac {
				p.state = behindIACInCommand
			} else {
				p.add(c)
			}
		case behindIACInCommand:
			p.behindIACInCommand(c)
		}
	}
	return out
}

func (p *parser) behindIACInCommand(c byte) {
	switch c {
	case iac:
		p.state = inCommand
		p.add(c)
	case se:
		p.state = inData
		if !p.long && len(p.command) >= 2 && p.command[0] == optComPort {
			p.handler(p.command[1], p.command[2:])
		}
	default:
		p.state = inData // the peer forgot the end
	}
}

func (p *parser) add(c byte) {
	if len(p.command) == maxCommand {
		p.long = true
		return
	}
	p.command = append(p.command, c)
}

// escape returns data as it goes over the wire.
func escape(b []byte) []byte {
	return bytes.ReplaceAll(b, []byte{iac}, []byte{iac, iac})
}

// encode returns a command as it goes over the wire.
func encode(command byte, value ...byte) []byte {
	out := append([]byte{iac, sb, optComPort, command}, escape(value)...)
	return append(out, iac, se)
}

// options answers what a peer wants of telnet's options. An answer is sent only where
// something changes, so that two ends never answer each other for ever (RFC 1143).
type options struct {
	us, them map[byte]bool // what is on
	asked    map[[2]byte]bool
	send     func(verb, option byte)
	wantUs   func(option byte) bool
	wantThem func(option byte) bool
}

// ask asks for an option: will for this end, do for the peer's.
func (o *options) ask(verb, option byte) {
	o.init()
	o.asked[[2]byte{verb, option}] = true
	o.send(verb, option)
}

func (o *options) init() {
	if o.us == nil {
		o.us, o.them, o.asked = map[byte]bool{}, map[byte]bool{}, map[[2]byte]bool{}
	}
}

// got takes a peer's word on an option.
func (o *options) got(verb, option byte) {
	o.init()
	state, want, mine, yes, no := o.them, o.wantThem, byte(do), byte(do), byte(dont)
	if verb == do || verb == dont {
		state, want, mine, yes, no = o.us, o.wantUs, will, will, wont
	}
	asked := o.asked[[2]byte{mine, option}]
	delete(o.asked, [2]byte{mine, option})
	switch on := verb == will || verb == do; {
	case on == state[option] && !asked:
		// it is as it was
	case !on:
		state[option] = false
		if !asked {
			o.send(no, option)
		}
	case want(option):
		state[option] = true
		if !asked {
			o.send(yes, option)
		}
	default:
		o.send(no, option)
	}
}
