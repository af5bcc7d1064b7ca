package broker

import "fmt"

// BusyError says who has the token.
type BusyError struct{ Writer string }

func (e *BusyError) Error() string { return fmt.Sprintf("%s is writing", e.Writer) }

// claim makes a client the writer: where there is none, or by force.
func (b *Broker) claim(c *client, force bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.writer == c:
		return nil
	case b.writer != nil && !force:
		return &BusyError{b.writer.name}
	case b.writer != nil:
		b.writer.tell(frameEvent, c.name+" has taken the line away: you read")
	}
	b.hand(c)
	return nil
}

// hand gives the token to a client. The caller holds mu.
func (b *Broker) hand(c *client) {
	b.writer = c
	if b.asked == c {
		b.asked = nil
	}
	for other := range b.clients {
		if other != c {
			other.tell(frameEvent, c.name+" writes")
		}
	}
}

// ask makes a client the writer as soon as the one who is frees the token. Of several
// who ask, the last one is next.
func (b *Broker) ask(c *client) error {
	if b.claim(c, false) == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.writer == nil { // just now
		b.hand(c)
		return nil
	}
	b.asked = c
	b.writer.tell(frameEvent, c.name+" asks to write")
	return &BusyError{b.writer.name}
}

// free gives the token on, or back. The caller holds mu.
func (b *Broker) free(c *client) {
	if b.asked == c {
		b.asked = nil
	}
	if b.writer != c {
		return
	}
	b.writer = nil
	if next := b.asked; next != nil {
		next.tell(frameEvent, "you write now")
		b.hand(next)
		return
	}
	for other := range b.clients {
		if other != c {
			other.tell(frameEvent, "nobody writes")
		}
	}
}
