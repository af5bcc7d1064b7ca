// Package status is the catalogue of messages that a phone shows under Settings,
// Status, Status Messages, in the words of the phones themselves.
//
//	fmt.Println(status.TrustListUpdateFailed)
//
// The texts are those of the 79xx family; readers of other families compare them
// without regard to case. The values are constants, safe for concurrent use.
package status

// Message is one entry of the catalogue.
type Message uint8

// The messages about trust.
const (
	CTLAndITLInstalled    Message = iota // both lists are new
	CTLInstalled                         // a CTL where there was none
	ITLInstalled                         // an ITL where there was none
	NoTrustListInstalled                 // neither list is held
	TrustListUpdated                     // a held list was replaced
	TrustListUpdateFailed                // a held list could not be replaced
	TFTPError                            // a configuration was not got, or not believed
	FileNotFound                         // the server lacks the configuration
)

// String returns the text that the phone shows.
func (m Message) String() string {
	return [...]string{
		"CTL and ITL installed", "CTL installed", "ITL installed", "No Trust List installed",
		"Trust List updated", "Trust List Update Failed", "TFTP Error", "File not found",
	}[m]
}
