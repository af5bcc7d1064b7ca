// Package evidence is what is known of phones that are not at hand: files, a flash image or a
// directory taken from one, its pages, the hash on its display, the alarms that phones have sent.
//
//	p, err := evidence.Source{Flash: "phone.img"}.Phone(ctx, world, world)
//	e, err := lockout.Explain(ctx, world, p.Phone, lockout.Hints{Open: p.Recalled})
//
//	r := evidence.New()
//	err = r.Read(log, nil)
//	all, err := evidence.Phones(world, r, false)
//
// What is presumed and not known is said in notes. Files are read up to the largest size of their
// kind, pages up to 256 KiB, log lines up to MaxLine; Reports keeps the last report of each phone and
// nothing else, some 150 bytes a phone, up to MaxPhones. A Reports is not safe for concurrent use; all
// else is. Sources: Cisco's note on ITL enhancements for the alarm, the published CiscoLog grammar
// for the lines, captures of phones' pages.
package evidence
