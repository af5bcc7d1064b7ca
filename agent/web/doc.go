// Package web is the phone's own pages: device information, network setup, status
// messages, debug display and the trust lists, for people, and for the scripts
// that read phones' pages.
//
//	err := web.Serve(ctx, listener, phone.Snapshot)
//
// The pages are read-only and have no scripts. They are served while the phone's
// configuration allows web access, and refused otherwise. At most maxConns
// connections are open at once, half of them of one address, each for a few seconds;
// one that has not sent its request gives up its place to the next. Addresses, labels
// and layout are those of 79xx, 78xx and 88xx phones as scripts of the field select
// them; what is the project's own is in quirks.go.
package web
