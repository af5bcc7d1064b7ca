//go:build small

package web

import (
	"context"
	"errors"
	"net"

	"itlagent/agent"
)

// Serve says that there are no pages.
func Serve(context.Context, net.Listener, func() agent.Snapshot) error {
	return errors.New("this program was built without pages")
}
