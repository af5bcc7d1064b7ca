package fetch

import (
	"context"

	"itlagent/agent/tftp"
)

// machine gets files by TFTP over the network of the machine. There is one in a program,
// because it remembers which local ports may still get packets of earlier transfers.
var machine = tftp.Client{Ask: tftp.Phone()}

// PlainTFTP gets a file of at most limit bytes by TFTP from address, "host:port", over
// the network of the machine, with the request of a phone.
func PlainTFTP(ctx context.Context, address, name string, limit int) ([]byte, error) {
	return machine.Get(ctx, address, name, limit)
}
