package hostile_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"itlagent/agent/trustlist"
)

// slow reads a trust file into a table from names such as "header.0e" and
// "record 2.04" to values in hex. It shares no code with the project's reader, and is
// written for likeness with the description of the format instead of speed.
func slow(kind trustlist.Kind, file []byte) (map[string]string, error) {
	list := kind == trustlist.ITL || kind == trustlist.CTL
	most := 2097152
	if list {
		most = 65535
	}
	if len(file) == 0 || len(file) > most {
		return nil, errors.New("size")
	}
	table := make(map[string]string)
	unknown, pads := 0, 0
	// VERSION and HEADERLENGTH stand first.
	if len(file) < 10 || hex.EncodeToString(file[:3]) != "010002" || file[3] != 1 && file[3] != 2 || hex.EncodeToString(file[5:8]) != "020002" {
		return nil, errors.New("beginning")
	}
	table["header.01"], table["header.02"] = hex.EncodeToString(file[3:5]), hex.EncodeToString(file[8:10])
	length := int(file[8])*256 + int(file[9])
	if length < 10 || length > len(file) {
		return nil, errors.New("header length")
	}
	containers := "03 07 09 10 11 15"
	met := "" // the elements in order, what a container holds in brackets
	sizes := map[string]int{"08": 1, "0a": 1, "0b": 1, "0f": 4, "13": 16, "14": 2, "17": 2, "1a": 1, "1c": 2}
	var walk func(b []byte, bare bool) error
	walk = func(b []byte, bare bool) error {
		for len(b) > 0 {
			if bare && b[0] == 0x0d {
				pads++
				met += "pad "
				b = b[1:]
				continue
			}
			if len(b) < 3 {
				return errors.New("end inside an element")
			}
			n := int(b[1])*256 + int(b[2])
			if len(b) < 3+n {
				return errors.New("element too long")
			}
			tag, value := fmt.Sprintf("%02x", b[0]), b[3:3+n]
			b = b[3+n:]
			if tag == "00" || tag == "0d" || tag > "1c" {
				unknown++
				met += "unknown "
				continue
			}
			met += tag + " "
			if _, twice := table["header."+tag]; twice {
				return errors.New("twice")
			}
			table["header."+tag] = hex.EncodeToString(value)
			if want, fixed := sizes[tag]; fixed && want != n {
				return errors.New("size of element " + tag)
			}
			if strings.Contains(containers, tag) {
				met += "( "
				if err := walk(value, false); err != nil {
					return err
				}
				met += ") "
			}
		}
		return nil
	}
	if err := walk(file[10:length], true); err != nil {
		return nil, err
	}
	if !headerGrammar.MatchString(met) {
		return nil, fmt.Errorf("a header of %s", met)
	}
	bytesOf := map[string]int{"00": 64, "01": 128, "02": 256, "03": 512}
	if want, ok := bytesOf[table["header.0b"]]; ok && want*2 != len(table["header.0c"]) {
		return nil, errors.New("signature size")
	}
	table["unknown"], table["pads"] = fmt.Sprint(unknown), fmt.Sprint(pads)
	if err := fits(kind, table); err != nil {
		return nil, err
	}
	if !list {
		return table, nil
	}
	number := 0
	for rest := file[length:]; len(rest) > 0; {
		number++
		if len(rest) < 5 || hex.EncodeToString(rest[:3]) != "010002" {
			return nil, errors.New("record length")
		}
		n := int(rest[3])*256 + int(rest[4])
		if n < 5 || n > len(rest) {
			return nil, errors.New("record length")
		}
		record := rest[:n]
		rest = rest[n:]
		skipped := 0
		for len(record) > 0 {
			if len(record) < 3 {
				return nil, errors.New("end inside an element")
			}
			n := int(record[1])*256 + int(record[2])
			if len(record) < 3+n {
				return nil, errors.New("element too long")
			}
			tag, value := fmt.Sprintf("%02x", record[0]), record[3:3+n]
			record = record[3+n:]
			if tag == "00" || tag > "0c" {
				skipped++
				continue
			}
			name := fmt.Sprintf("record %d.%s", number, tag)
			if _, twice := table[name]; twice {
				return nil, errors.New("twice")
			}
			table[name] = hex.EncodeToString(value)
			if tag == "04" && n != 2 || tag == "0a" && n != 4 && n != 16 && n != 0 {
				return nil, errors.New("size of element " + tag)
			}
		}
		if _, ok := table[fmt.Sprintf("record %d.04", number)]; !ok {
			return nil, errors.New("no role")
		}
		table[fmt.Sprintf("record %d skipped", number)] = fmt.Sprint(skipped)
	}
	if number == 0 {
		return nil, errors.New("no record")
	}
	table["records"] = fmt.Sprint(number)
	return table, nil
}

// headerGrammar is what may stand behind HEADERLENGTH. Inside the containers that say
// how to decrypt, what nobody needs may be left out.
var headerGrammar = regexp.MustCompile(`^(1c )?` +
	`03 \( 04 (05 06|06 05) \) 07 \( 08 09 \( 0a 0b \) \) 0c (0e )?(0f )?` +
	`(10 \( 11 \( (12 )?13 14 \) 15 \( (16 )?17 (18 )?19 \) \) 1a 1b )?` +
	`(unknown )*(pad )*$`)

// errWrongKind says that a file is not of the kind asked for.
var errWrongKind = errors.New("another kind of file")

// fits compares a kind with the name, the version and the encryption of a header.
func fits(kind trustlist.Kind, table map[string]string) error {
	raw, _ := hex.DecodeString(table["header.0e"])
	name := strings.TrimSuffix(string(raw), "\x00")
	if strings.Contains(name, "\x00") {
		return errors.New("NUL in the name")
	}
	major := table["header.01"][:2]
	_, secret := table["header.10"]
	tlv := regexp.MustCompile(`(?is)\.tlv$`).MatchString(name)
	want := map[trustlist.Kind]bool{
		trustlist.ITL: regexp.MustCompile(`(?is)^itl.*\.tlv$`).MatchString(name) && major == "01" && !secret,
		trustlist.CTL: regexp.MustCompile(`(?is)^ctl.*\.tlv$`).MatchString(name) && major == "01" && !secret,
		trustlist.SGN: !tlv && major == "01" && !secret,
		trustlist.ENC: !tlv && major == "02" && secret,
	}
	if !want[kind] {
		return errWrongKind
	}
	return nil
}

// disagree compares what the project's reader makes of a file with the slow one.
func disagree(kind trustlist.Kind, file []byte) string {
	table, slowErr := slow(kind, file)
	f, err := trustlist.Parse(kind, file)
	if (err == nil) != (slowErr == nil) || errors.Is(err, trustlist.ErrWrongFile) != errors.Is(slowErr, errWrongKind) {
		return fmt.Sprintf("ours says %v, the slow reader %v", err, slowErr)
	}
	if err != nil {
		return ""
	}
	trim := func(name string) string { // one closing NUL is no part of a name
		if v := table[name]; strings.HasSuffix(v, "00") && len(v)%2 == 0 {
			return v[:len(v)-2]
		}
		return table[name]
	}
	h := hex.EncodeToString
	got := map[string]string{
		"version": h([]byte{f.Version.Major, f.Version.Minor}), "length": fmt.Sprintf("%04x", f.Length),
		"name": h(f.Signer.Name), "serial": h(f.Signer.Serial), "issuer": h(f.Signer.Issuer), "digest": h([]byte{uint8(f.Digest)}),
		"algorithm": h([]byte{f.Algorithm}), "modulus": h([]byte{f.ModulusIndex}), "signature": h(f.Signature),
		"file": h(f.FileName), "unknown": fmt.Sprint(f.Unknown), "pads": fmt.Sprint(f.Pad),
	}
	want := map[string]string{
		"version": table["header.01"], "length": table["header.02"], "name": trim("header.04"), "serial": table["header.05"], "issuer": trim("header.06"),
		"digest": table["header.08"], "algorithm": table["header.0a"], "modulus": table["header.0b"], "signature": table["header.0c"],
		"file": trim("header.0e"), "unknown": table["unknown"], "pads": table["pads"],
	}
	if when := table["header.0f"]; when != "" {
		got["time"], want["time"] = fmt.Sprintf("%08x", f.Timestamp), when
	}
	if kind.IsList() {
		got["records"], want["records"] = fmt.Sprint(len(f.Records)), table["records"]
	}
	for i := range f.Records {
		r := &f.Records[i]
		for tag := trustlist.RecordLength; tag <= trustlist.HashAlgorithm; tag++ {
			name := fmt.Sprintf("record %d.%02x", i+1, uint8(tag))
			value, there := table[name]
			if r.Has(tag) != there {
				return fmt.Sprintf("%s: ours has it: %v, the slow reader: %v", name, r.Has(tag), there)
			}
			got[name], want[name] = h(r.Value(tag)), value
		}
		name := fmt.Sprintf("record %d", i+1)
		got[name], want[name] = fmt.Sprintf("%04x %d", uint16(r.Role()), r.Unknown), table[name+".04"]+" "+table[name+" skipped"]
	}
	for name := range got {
		if got[name] != want[name] {
			return fmt.Sprintf("%s: ours reads %s, the slow reader %s", name, got[name], want[name])
		}
	}
	return ""
}
