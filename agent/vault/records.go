package vault

//go:generate go tool msgp -file records.go -o records_gen.go -tests=false -unexported

//msgp:limit arrays:16 maps:8
//msgp:tuple mark newest message

// mark opens a block for new data: what was copied into it before is complete.
type mark struct {
	Covers int32    // the block whose needed content was copied here; -1 for none
	Seq    uint64   // of that block
	Newest []newest // the newest revision of every key
}

// newest tells which revision of a key was the newest when a block was opened.
type newest struct {
	Key string
	Rev uint64
}

// message is one entry of the messages.
type message struct {
	Time     int64  // Unix seconds of the first
	Last     int64  // Unix seconds of the last
	Count    uint32 // equal ones in a row
	Replaces uint64 // revision of the entry that this one stands for; 0 for none
	Text     string
}
