package main

import (
	"encoding/binary"

	"github.com/kycq/kycq/internal/dev/specimen"
	"github.com/kycq/kycq/internal/dev/specimen/distort"
)

// card returns a specimen card of 1.6 megapixels as JPEG, and its masked form.
func card() (plain, masked []byte) {
	drawn := specimen.Draw(specimen.Card{Layout: specimen.PVC, Person: specimen.NewPerson(3), Scale: 1.58})
	covered, _ := specimen.Mask(drawn)
	return distort.JPEG(drawn, 85), distort.JPEG(covered, 85)
}

// padded enlarges a JPEG to a size with comments after its first marker, as the previews and notes of cameras do.
func padded(jpeg []byte, size int) []byte {
	out := append([]byte(nil), jpeg[:2]...)
	for missing := size - len(jpeg); missing > 4; {
		n := min(missing, 65_000)
		out = append(out, 0xff, 0xfe)
		out = binary.BigEndian.AppendUint16(out, uint16(n-2))
		out = append(out, make([]byte, n-4)...)
		missing -= n
	}
	return append(out, jpeg[2:]...)
}
