package vaultimage_test

import (
	"testing"

	"itlagent/testbench/vaultimage"
)

// An image is read to its end whatever its bytes, and no value is larger than it.
func FuzzRead(f *testing.F) {
	f.Add(make([]byte, 8<<10), 4096)
	f.Add([]byte("ITLVAULT"), 0)
	f.Fuzz(func(t *testing.T, image []byte, eraseSize int) {
		img, err := vaultimage.Read(image, eraseSize%(64<<10))
		if err != nil {
			return
		}
		for i := range img.Keys {
			if len(img.Keys[i].Value) > len(image) {
				t.Fatalf("a value of %d bytes in an image of %d", len(img.Keys[i].Value), len(image))
			}
		}
	})
}
