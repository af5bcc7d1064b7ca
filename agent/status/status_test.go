package status_test

import (
	"testing"

	"itlagent/agent/status"
)

// Scrapers and people look for these very words.
func TestTexts(t *testing.T) {
	for m, want := range map[status.Message]string{
		status.CTLAndITLInstalled: "CTL and ITL installed", status.CTLInstalled: "CTL installed", status.ITLInstalled: "ITL installed",
		status.NoTrustListInstalled: "No Trust List installed", status.TrustListUpdated: "Trust List updated",
		status.TrustListUpdateFailed: "Trust List Update Failed", status.TFTPError: "TFTP Error", status.FileNotFound: "File not found",
	} {
		if m.String() != want {
			t.Errorf("message %d: %q, want %q", m, m, want)
		}
	}
}
