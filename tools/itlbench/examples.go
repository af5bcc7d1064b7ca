package main

// examples are command lines, each of which a test parses.
func (p *page) examples() []string { return examples()[p.path] }

// examples returns the examples of every command that has flags or arguments of its own.
func examples() map[string][]string {
	return map[string][]string{
		"show":         {"itlbench show ITLFile.tlv", "itlbench show bundle.zip --json"},
		"verify":       {"itlbench verify SEP64A0E71502CC.cnf.xml.sgn --installed ITLFile.tlv --tvs 192.0.2.10"},
		"build":        {"itlbench build itl -o ITLFile.tlv --signer pub.pem --record sast=pub.pem --record tftp=pub.pem"},
		"sign":         {"itlbench sign SEP64A0E71502CC.cnf.xml --signer pub.pem"},
		"cert":         {"itlbench cert pub.example.lab -o pub.pem", "itlbench cert --sign pub.csr --signer ca.pem -o pub.pem"},
		"phone":        {"itlbench phone --tftp 127.0.0.1:6901 --state phone --once"},
		"vault":        {"itlbench vault show flash.img"},
		"cluster":      {"itlbench cluster up --profile note --port 6900"},
		"admin":        {"itlbench admin utils itl reset localkey", "itlbench admin --node sub1"},
		"sftp":         {"itlbench sftp --dir keys --user backup"},
		"scenario":     {"itlbench scenario run recovery-note"},
		"audit":        {"itlbench audit --dir lab", "itlbench audit --listen 0.0.0.0:5060 --for 1h --csv"},
		"explain":      {"itlbench explain --state phone --dir lab", "itlbench explain --phone 192.0.2.20 --dir lab", "itlbench explain --log console.log", "itlbench explain --pcap boot.pcap --installed ITLFile.tlv"},
		"import":       {"itlbench import -o copy ITLFile.tlv CTLFile.tlv show-itl.txt certificates.zip"},
		"pages":        {"itlbench pages lab --listen 127.0.0.1:8080"},
		"check":        {"itlbench check lab --days 90"},
		"plan":         {"itlbench plan regenerate tvs --dir lab --online"},
		"image":        {"itlbench image qemu-arm -o image", "itlbench image my-board.yaml --check"},
		"board":        {"itlbench board probe --console /dev/ttyUSB0 -o my-board.yaml"},
		"qemu":         {"itlbench qemu qemu-arm --cluster note"},
		"flash":        {"itlbench flash my-board.yaml --console /dev/ttyUSB0 --dry-run"},
		"console":      {"itlbench console /dev/ttyUSB0,115200 --timestamps --decode"},
		"serial":       {"itlbench serial list --json"},
		"fleet":        {"itlbench fleet run --count 100 --cluster lab"},
		"fleet run":    {"itlbench fleet run --count 100 --cluster lab --expect trusted=100%"},
		"fleet worker": {"itlbench fleet worker --nats nats://192.0.2.10:4222"}, "fleet status": {"itlbench fleet status --nats nats://192.0.2.10:4222"},
		"demo":    {"itlbench demo"},
		"help":    {"itlbench help cluster up", "itlbench help exit-codes"},
		"version": {"itlbench version --json"},

		"completion": {"source <(itlbench completion bash)", "itlbench completion fish > ~/.config/fish/completions/itlbench.fish"},

		"build itl":  {"itlbench build itl -o ITLFile.tlv --signer pub.pem --record sast=pub.pem --record tftp=pub.pem"},
		"build ctl":  {"itlbench build ctl -o CTLFile.tlv --signer token.pem --record sast=token.pem --record ccm+tftp=pub.pem"},
		"vault show": {"itlbench vault show flash.img --json"}, "vault verify": {"itlbench vault verify flash.img"},
		"scenario list":   {"itlbench scenario list"},
		"scenario run":    {"itlbench scenario run all --junit report.xml", "itlbench scenario run recovery-note --on qemu-arm"},
		"board probe":     {"itlbench board probe --console /dev/ttyUSB0 -o my-board.yaml"},
		"board powercut":  {"itlbench board powercut my-board.yaml --console /dev/ttyUSB0 --power relay3 --listen 192.0.2.10"},
		"serial list":     {"itlbench serial list"},
		"cluster up":      {"itlbench cluster up --profile 14 --dir lab --port 6900 --detach"},
		"cluster down":    {"itlbench cluster down --dir lab"},
		"cluster status":  {"itlbench cluster status --wait 10s"},
		"cluster apply":   {"itlbench cluster apply --config site.yaml"},
		"cluster phone":   {"itlbench cluster phone add 64A0E71502CC CP-7965G"},
		"cluster phones":  {"itlbench cluster phones --wait 2"},
		"cluster clock":   {"itlbench cluster clock +36h"},
		"cluster fault":   {"itlbench cluster fault pub tvs down"},
		"cluster events":  {"itlbench cluster events --follow"},
		"cluster lists":   {"itlbench cluster lists --json"},
		"cluster serve":   {"itlbench cluster serve ITLFile.tlv"},
		"cluster set":     {"itlbench cluster set 64A0E71502CC webAccess 0"},
		"cluster encrypt": {"itlbench cluster encrypt 64A0E71502CC phone.pem"},
		"cluster rebuild": {"itlbench cluster rebuild --security-password-file password"},
		"cluster passwords": {
			"itlbench cluster passwords --json"},
	}
}
