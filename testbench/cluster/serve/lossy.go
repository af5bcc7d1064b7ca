package serve

import (
	"net"
	"sync"
	"time"
)

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
