// Package wording is how what the bench has found out is said: the lines and the JSON
// objects that the command line prints, and the pages show.
//
//	wording.Explanation(os.Stdout, ex, false)      // as itlbench explain prints it
//	wording.JSON(w, wording.ExplanationOf(ex))     // and with --json
//	wording.Plan(os.Stdout, plan, fleet, world, true)
//
// It finds nothing out and changes nothing: each function is one of its arguments, and
// safe for concurrent use as long as these are not changed meanwhile. The names of JSON
// keys are stable. Text from outside was made harmless by those who read it; JSON writes
// what would disturb a terminal as escapes.
package wording
