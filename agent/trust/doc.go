// Package trust decides whether a phone believes a file.
//
//	v := trust.Decide(state, trust.Candidate{Kind: trustlist.ITL, Data: data})
//	if v.Question != nil {
//		state.Answers = append(state.Answers, ask(*v.Question))
//		v = trust.Decide(state, candidate)
//	}
//	fmt.Println(v.Accepted, v.Reason, v.Via)
//
// A decision is a pure function of the lists that the phone holds, the answers
// of Trust Verification Services, the time and the bytes at hand. It opens no
// file and no connection: where an answer is wanted that the state lacks, the
// verdict carries the question, and the caller asks and decides again. Every
// rejection has exactly one Reason, the same that messages, alarms, consoles and
// host tools print.
//
// Decide is safe for concurrent use as long as nobody changes the state. The
// rules are those of Cisco's Security By Default documents and of the public
// migration traces; what they leave open is in Policy.
//
// The validity dates of certificates are not looked at: a phone often has no
// clock before it has a configuration, and the lists name certificates one by
// one rather than by their issuers.
package trust
