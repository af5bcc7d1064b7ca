package vault

import "time"

// What no document prescribes and had to be chosen.
const (
	// MaxValue is the largest value in bytes: the largest trust list and one
	// byte, so that a limit off by one shows.
	MaxValue = 64 << 10
	// MaxKeys bounds the keys of a vault, deleted ones included.
	MaxKeys = 16
	// MaxKeyLength bounds a key's name in bytes.
	MaxKeyLength = 12
	// MaxMessages is how many messages are stored: as many as an 88xx shows.
	MaxMessages = 30
	// MaxMessageText bounds a message in bytes; longer ones are cut.
	MaxMessageText = 128

	// chunkSize is how much is programmed at once, in bytes, where the program
	// size is smaller: the write buffer of common NOR parts.
	chunkSize = 256
	// minPayload is the smallest part of a value that is worth a fragment at the
	// end of a block, in bytes.
	minPayload = 128
	// maxBitErrors is how many bits of a commit mark may be wrong. A mark that
	// lost one bit at rest still counts; one that power failed to write does not.
	maxBitErrors = 4
	// readTries is how often the flash is read when it fails or the checksum is
	// wrong: a fault of the bus passes.
	readTries = 3
	// writeTries is how often a fragment is written in another place when it does
	// not read back.
	writeTries = 3

	// A message equal to the last one is counted, and written at most this often.
	coalesceTime = time.Hour
	// Messages are written as they come up to this many, then one each interval.
	// A 64 KiB ring takes about 350 messages a lap: at one a minute it wears out
	// 100,000 erases in 66 years.
	messageBurst    = 64
	messageInterval = time.Minute
)
