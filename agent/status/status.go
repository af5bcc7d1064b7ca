// Package status is what a phone shows under Settings, Status, Status Messages:
// the catalogue of its messages, in the words of each family of phones, and the
// messages that were shown.
//
//	log := status.NewLog(backend, model)
//	err := log.Add(now, status.TrustListUpdateFailed.Text(model.Family))
//	for _, e := range log.Entries() { ... }
//
// The catalogue is constant. A Log is safe for concurrent use where its backend
// is; Kept is one. Texts are those of the phones' administration guides and of
// Cisco's note on the ITL enhancements of CUCM 10.0; readers compare them without
// regard to case.
package status

import (
	"time"

	"itlagent/agent/model"
)

// Message is one entry of the catalogue.
type Message uint8

// The messages about trust and provisioning.
const (
	CTLAndITLInstalled    Message = iota // both lists are new
	CTLInstalled                         // a CTL where there was none
	ITLInstalled                         // an ITL where there was none
	NoTrustListInstalled                 // the phone has neither list
	TrustListUpdated                     // a list was replaced
	TrustListUpdateFailed                // a list could not be replaced
	ErasingLists                         // lists are deleted by hand
	TFTPError                            // a configuration did not arrive, or was rejected
	TFTPTimeout                          // no server answered
	FileNotFound                         // the server lacks the file
	Restarting                           // the cluster told the phone to reset
	FactoryReset                         // everything is deleted
	TFTPAuthorization                    // the TFTP server's address is not in the CTL
	lastMessage           = TFTPAuthorization
)

// texts are those of the 79xx family, in the note's spelling.
var texts = [lastMessage + 1]string{
	CTLAndITLInstalled: "CTL and ITL installed", CTLInstalled: "CTL installed", ITLInstalled: "ITL installed",
	NoTrustListInstalled: "No Trust List installed", TrustListUpdated: "Trust List updated",
	TrustListUpdateFailed: "Trust List Update Failed", ErasingLists: "Erasing CTL and ITL files",
	TFTPError: "TFTP Error", TFTPTimeout: "TFTP timeout", FileNotFound: "File not found",
	Restarting: "Restart requested by Cisco Unified Communications Manager", FactoryReset: "Reset to factory settings", TFTPAuthorization: "TFTP authorization failure",
}

// newer are the texts of the 78xx and 88xx where their guides spell them
// otherwise.
var newer = map[Message]string{
	TrustListUpdateFailed: "Trust List update failed", NoTrustListInstalled: "No Trust List Installed",
	FileNotFound: "File Not Found", TFTPTimeout: "TFTP Timeout",
}

// String returns the text that a 79xx shows.
func (m Message) String() string {
	if m > lastMessage {
		return "unknown message"
	}
	return texts[m]
}

// Text returns the text that a phone of the family shows.
func (m Message) Text(f model.Family) string {
	if t, ok := newer[m]; ok && (f == model.F78 || f == model.F88 || f == model.F8821) {
		return t
	}
	return m.String()
}

// Messages returns the catalogue.
func Messages() []Message {
	all := make([]Message, lastMessage+1)
	for i := range all {
		all[i] = Message(i)
	}
	return all
}

// Entry is a message that was shown.
type Entry struct {
	Time  time.Time // of the first
	Last  time.Time // of the last of equal ones in a row
	Count int
	Text  string
}
