package flasher_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"itlagent/firmware/boards"
	"itlagent/tools/flasher"
)

// The start of a disk has the vault as its second partition, and a script whose clusters
// follow each other; one that is too long is refused.
func TestBootDisk(t *testing.T) {
	b, err := boards.Load("qemu-arm-uboot-virtio")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"bootargs": strings.Repeat("word ", 300), "bootcmd": "virtio scan && bootm 1"}
	f, err := flasher.BootDisk(b, env)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	second := f.Data[446+16:]
	if second[4] != 0x83 || le.Uint32(second[8:]) != 15<<20/512 || le.Uint32(second[12:]) != 1<<20/512 {
		t.Errorf("the second partition is %x", second[:16])
	}
	fat := f.Data[le.Uint32(f.Data[446+8:])*512:]
	root := fat[3*512:]
	size := le.Uint32(root[28:])
	var file []byte
	for cluster, n := uint16(2), 0; cluster < 0xff8 && n < 1000; n++ {
		file = append(file, fat[(4+int(cluster)-2)*512:][:512]...)
		v := le.Uint16(fat[512+int(cluster)/2*3+int(cluster)%2:])
		if cluster%2 == 1 {
			v >>= 4
		}
		cluster = v & 0xfff
	}
	want, err := flasher.Script(b, env)
	if err != nil || string(root[:11]) != "BOOT    SCR" || !bytes.Equal(file[:size], want) || !bytes.HasSuffix(want, []byte("'\nvirtio scan && bootm 1\n")) {
		t.Errorf("%q has %d bytes, want %d; %v", root[:11], size, len(want), err)
	}
	env["bootargs"] = strings.Repeat("x", 64<<10)
	if _, err := flasher.BootDisk(b, env); err == nil {
		t.Error("a script larger than its file system")
	}
	nor, err := boards.Load("qemu-arm-uboot")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flasher.BootDisk(nor, env); err == nil {
		t.Error("a boot disk on NOR flash")
	}
}
