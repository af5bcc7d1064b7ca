// Package lockout answers what administrators ask about phones that distrust their
// cluster, or might: why, what remedies there are, and whom a plan would lock out.
//
//	e, err := lockout.Explain(ctx, lockout.World{c}, phone, lockout.Hints{})
//	for _, r := range e.Remedies { fmt.Println(r.What, r.Commands) }
//
//	p, err := lockout.Predict(ctx, lockout.World{c}, phones, changes, lockout.Options{})
//
// Nothing is guessed: a phone on paper runs the code of a phone, and so its trust
// decision, against copies of clusters that the changes are made to. A remedy is offered
// because it was tried like that, to the phone's next reset. Every operation is one row of a
// table (table.go, onsite.go): how a change is written, what is typed, what it does, and which
// remedies it offers. Clusters and phones that are looked at are not changed. A plan has at
// most 12 changes. Functions are safe for concurrent use as long as the clusters in a
// World are.
package lockout
