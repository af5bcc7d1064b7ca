// Package lockout answers what administrators ask about phones that distrust their
// cluster, or might: why, what would bring them back, and whom a change would lock
// out.
//
//	e, err := lockout.Explain(ctx, lockout.World{c}, phone, lockout.Hints{})
//	for _, way := range e.Ways { fmt.Println(way.What, way.Commands) }
//
//	f, err := lockout.Predict(ctx, lockout.World{c}, phones, changes, lockout.Options{})
//
// Nothing is guessed: a phone on paper runs the code of a phone, and so its trust
// decision, against copies of clusters that the changes are made to. What is offered
// as a remedy was gone in this manner, to the end. Clusters and phones that are
// looked at are not changed. Functions are safe for concurrent use as long as the
// clusters in a World are.
package lockout
