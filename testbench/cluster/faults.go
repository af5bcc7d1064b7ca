package cluster

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// NoFault mends a service.
const NoFault = "none"

// faultKinds are the ways in which a service can be made to fail. Those with a
// value take another one behind "=": a time, or one datagram in so many.
var faultKinds = map[Service]map[string]string{
	TFTPService: {
		"pause":    "", // connections and requests stay without an answer
		"busy":     "", // HTTP answers 503
		"missing":  "", // no file is found
		"old":      "", // the list of before the last start is served
		"truncate": "", // the second half of every file is missing
		"large":    "", // trust lists are larger than phones read
		"slow":     "3s",
		"lose":     "4", // HTTP breaks off; TFTP loses every fourth datagram
	},
	TVSService: {
		"pause":    "",
		"close":    "", // connections are closed before TLS
		"garbage":  "", // an answer that is none
		"invalid":  "", // nobody is vouched for
		"mismatch": "", // another certificate than the one asked for
		"norole":   "", // certificates that may do nothing of use
		"slow":     "8s",
	},
	CallManagerService: {"pause": "", "close": "", "slow": "3s"},
	TomcatService: {
		"pause":   "",
		"foreign": "", // a certificate that TVS does not vouch for
	},
}

// FaultKinds returns the kinds of faults of a service.
func FaultKinds(service Service) []string {
	kinds := []string{NoFault}
	for kind := range faultKinds[service] {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// fault is how a service fails. The zero value is a sound one.
type fault struct {
	kind  string
	delay time.Duration // of "slow"
	every int           // of "lose"
}

func parseFault(service Service, text string) (fault, error) {
	if text == NoFault || text == "" {
		return fault{}, nil
	}
	kind, value, given := strings.Cut(text, "=")
	usual, ok := faultKinds[service][kind]
	if !ok || given && usual == "" {
		return fault{}, fmt.Errorf("%s has no fault %q; there are: %s", service, text, strings.Join(FaultKinds(service), ", "))
	}
	if !given {
		value = usual
	}
	f := fault{kind: kind}
	var err error
	switch kind {
	case "slow":
		if f.delay, err = time.ParseDuration(value); err != nil || f.delay <= 0 || f.delay > time.Minute {
			return fault{}, fmt.Errorf("slow=%s: a time of up to a minute, as in slow=3s", value)
		}
	case "lose":
		if f.every, err = strconv.Atoi(value); err != nil || f.every < 2 {
			return fault{}, fmt.Errorf("lose=%s: one datagram in so many, from 2 on", value)
		}
	}
	return f, nil
}

// fault returns how a service of the node fails now.
func (n *Node) fault(service Service) fault {
	f, _ := parseFault(service, n.state().Faults[service]) // SetFault has checked it
	return f
}

// held is how long a paused service leaves a request without an answer.
const held = time.Minute

// lossy stands between clients and a TFTP server and loses datagrams: each
// client gets a socket of its own towards the server, as the server's transfers
// have ports of their own.
type lossy struct {
	front *net.UDPConn
	back  *net.UDPAddr
	every int

	mu      sync.Mutex
	count   int
	clients map[string]*lossyClient // by address
	done    sync.WaitGroup
}

// lossyClient is the socket of one client towards the server, and where its
// transfer is.
type lossyClient struct {
	*net.UDPConn
	peer *net.UDPAddr
}

// lossyClients bounds the clients that a lossy relay serves at once.
const lossyClients = 256

// lost counts a datagram and reports whether it is one that is lost.
func (l *lossy) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	return l.count%l.every == 0
}

func (l *lossy) serve() {
	defer l.done.Wait()
	buf := make([]byte, 64<<10)
	for {
		size, from, err := l.front.ReadFromUDP(buf)
		if err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, c := range l.clients {
				c.Close()
			}
			return
		}
		if l.lost() {
			continue
		}
		request := size > 1 && buf[0] == 0 && buf[1] <= 2 // RRQ or WRQ: a new transfer
		l.forward(from, buf[:size], request)
	}
}

// forward sends a datagram of a client to where its transfer is.
func (l *lossy) forward(from *net.UDPAddr, data []byte, request bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := from.String()
	conn := l.clients[key]
	if conn == nil {
		if len(l.clients) >= lossyClients {
			return
		}
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: l.back.IP})
		if err != nil {
			return
		}
		conn = &lossyClient{udp, l.back}
		l.clients[key] = conn
		l.done.Go(func() { l.answer(conn, from, key) })
	}
	if request {
		conn.peer = l.back
	}
	conn.WriteToUDP(data, conn.peer)
}

// answer sends a client what the server has for it, until it is silent.
func (l *lossy) answer(conn *lossyClient, client *net.UDPAddr, key string) {
	defer func() {
		conn.Close()
		l.mu.Lock()
		delete(l.clients, key)
		l.mu.Unlock()
	}()
	const silence = 10 * time.Second
	buf := make([]byte, 64<<10)
	for {
		conn.SetReadDeadline(time.Now().Add(silence))
		size, from, err := conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		// A request that was repeated begins two transfers. The client takes part in the
		// first that answers; what the other one sends, and be it the error that ends it,
		// comes from another port and is none of its business.
		l.mu.Lock()
		if conn.peer == l.back {
			conn.peer = from
		}
		stray := conn.peer.Port != from.Port
		l.mu.Unlock()
		if !stray && !l.lost() {
			l.front.WriteToUDP(buf[:size], client)
		}
	}
}
