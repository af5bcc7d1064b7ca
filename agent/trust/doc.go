// Package trust decides whether a phone trusts a file.
//
//	v := trust.Decide(state, trust.Candidate{Kind: trustlist.ITL, Name: name, Data: data})
//	if v.Question != nil {
//		v = v.Answered(state, ask(*v.Question))
//	}
//	fmt.Println(v.Accepted, v.Reason, v.Via)
//
// A decision is a pure function of the lists that the phone holds, the answers
// of Trust Verification Services, the time and the bytes at hand. It opens no
// file and no connection: where an answer is wanted that the state lacks, the
// verdict has the question, and the caller asks and goes on with the answer. A file
// is parsed once. Every rejection has exactly one Reason, the same that messages,
// alarms, consoles and host tools print.
//
// Decide is safe for concurrent use as long as nobody changes the state. The
// rules are those of Cisco's Security By Default documents and of the public
// migration traces; what they leave open is in quirks.go.
//
// The validity dates of certificates are not looked at: a phone often has no
// clock before it has a configuration, and the lists name certificates one by
// one rather than by their issuers.
package trust
