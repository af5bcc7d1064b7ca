package serve

import (
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileSockets are those of the TFTP service; https is nil without HTTPS.
type fileSockets struct {
	http, https net.Listener
	tftp        *net.UDPConn
	reserved    io.Closer // the port of HTTPS, where that may come with an upgrade
}

func (f *fileSockets) close() {
	for _, l := range []net.Listener{f.http, f.https} {
		if l != nil {
			l.Close()
		}
	}
	if f.tftp != nil {
		f.tftp.Close()
	}
	if f.reserved != nil {
		f.reserved.Close()
	}
}

// reserve binds a tcp port without listening on it: connections to it are refused, and
// nobody else takes it.
func reserve(ip net.IP, port int) (io.Closer, error) {
	v4 := ip.To4()
	if v4 == nil {
		return nil, nil
	}
	syscall.ForkLock.RLock() // SOCK_CLOEXEC is not everywhere
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte(v4)}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "reserved port"), nil
}

// listenFiles opens HTTP's tcp port, TFTP's udp port, which has the same number
// where it is free to choose, and that of HTTPS, which is the next one then.
func (n *Node) listenFiles(r *running) (*fileSockets, error) {
	const tries = 50 // the other two may be taken where the first is free
	for try := 1; ; try++ {
		f := new(fileSockets)
		free := strings.HasSuffix(n.Node().Endpoint("http"), ":0")
		port, err := n.tryFiles(f)
		if err != nil {
			f.close()
			if free && port != "http" && try < tries {
				continue
			}
			return nil, n.portError(port, err)
		}
		r.closers = append(r.closers, f.close)
		if err := n.setPort("http", f.http.Addr()); err != nil {
			return nil, err
		}
		if f.https != nil {
			if err := n.setPort("https", f.https.Addr()); err != nil {
				return nil, err
			}
		}
		return f, n.setPort("tftp", f.tftp.LocalAddr())
	}
}

// tryFiles returns the name of the port that could not be had.
func (n *Node) tryFiles(f *fileSockets) (port string, err error) {
	free := strings.HasSuffix(n.Node().Endpoint("http"), ":0")
	if f.http, err = listenTCP(n.Node().Endpoint("http")); err != nil {
		return "http", err
	}
	here := f.http.Addr().(*net.TCPAddr)
	at := n.Node().Endpoint("tftp")
	if strings.HasSuffix(at, ":0") {
		at = here.String()
	}
	udp, err := net.ResolveUDPAddr("udp", at)
	if err == nil {
		f.tftp, err = net.ListenUDP("udp", udp)
	}
	if err != nil {
		return "tftp", err
	}
	if n.Node().Web == nil {
		if strings.HasSuffix(n.Node().Endpoint("https"), ":0") && here.Port < 65535 {
			f.reserved, err = reserve(here.IP, here.Port+1)
		}
		if !free { // the node has its port already, and this release does without HTTPS
			err = nil
		}
		return "https", err
	}
	if at = n.Node().Endpoint("https"); strings.HasSuffix(at, ":0") {
		at = net.JoinHostPort(here.IP.String(), strconv.Itoa(here.Port+1))
	}
	f.https, err = listenTCP(at)
	return "https", err
}
