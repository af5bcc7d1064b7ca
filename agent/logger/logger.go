// Package logger is the two levels at which a phone tells what it does: notices, which
// a person must see, and debug lines, which help to find a fault.
//
//	log := logger.Logger{Notice: print, Debug: trace}
//	log.Noticef("%s: not stored: %v", name, err)
//
// The zero Logger discards both. A Logger is safe for concurrent use as far as its
// functions are. Texts from outside are made harmless by whoever writes them out.
package logger

// Logger writes lines without a line feed, as fmt.Printf formats them. A function that
// is nil discards.
type Logger struct {
	Notice func(format string, args ...any) // what a person must see
	Debug  func(format string, args ...any) // what helps to debug
}

// To returns a Logger that writes both levels to one function.
func To(f func(format string, args ...any)) Logger { return Logger{Notice: f, Debug: f} }

// Noticef writes a notice.
func (l Logger) Noticef(format string, args ...any) {
	if l.Notice != nil {
		l.Notice(format, args...)
	}
}

// Debugf writes a debug line.
func (l Logger) Debugf(format string, args ...any) {
	if l.Debug != nil {
		l.Debug(format, args...)
	}
}
