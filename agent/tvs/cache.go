package tvs

import (
	"slices"
	"sync"
	"time"

	"itlagent/agent/trust"
)

// Cache remembers answers for as long as they say. Whoever decides puts an answer
// in once it has vouched for a file, and not before: a wrong answer is then asked
// for again, and nobody waits for it to expire. The zero value is ready for use, and
// safe for concurrent use.
type Cache struct {
	Size int // answers; DefaultCacheSize where 0; must not change after the first use

	mu      sync.Mutex
	answers []trust.Answer // oldest first
}

// Remember adds answers, oldest first, each in the place of an older one to the same
// question. It leaves out what is not live at the time, which includes every answer
// without an expiry, and what does not vouch. The oldest answers are dropped where
// there are more than Size.
func (c *Cache) Remember(answers []trust.Answer, now time.Time) { c.remember(answers, now, c.Size) }

func (c *Cache) remember(answers []trust.Answer, now time.Time, size int) {
	if size == 0 {
		size = DefaultCacheSize
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range answers {
		if !a.Vouches() {
			continue
		}
		c.answers = slices.DeleteFunc(c.answers, func(old trust.Answer) bool { return old.Question.Same(a.Question) })
		c.answers = append(c.answers, a)
	}
	c.expire(now)
	if more := len(c.answers) - size; more > 0 {
		c.answers = slices.Delete(c.answers, 0, more)
	}
}

// Live returns the answers that are live at the time, oldest first.
func (c *Cache) Live(now time.Time) []trust.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
	return slices.Clone(c.answers)
}

// Flush forgets everything. A phone does so when its lists change.
func (c *Cache) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = nil
}

// expire drops answers past their time. The caller holds mu.
func (c *Cache) expire(now time.Time) {
	c.answers = slices.DeleteFunc(c.answers, func(a trust.Answer) bool { return !a.Live(now) })
}
