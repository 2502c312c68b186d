package maskcheck

import (
	"bytes"
	"encoding/binary"
)

// tagOrientation is the Exif tag that says how to turn or mirror the pixels for display: 1 to 8; 1 is as stored.
const tagOrientation = 0x0112

// exifOrientation reads the orientation from the content of a JPEG's APP1 segment; 0 if there is none.
func exifOrientation(segment []byte) byte {
	tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00"))
	if !ok || len(tiff) < 1 {
		return 0
	}
	return tiffOrientation(tiff[1:])
}

// tiffOrientation reads the orientation from the first directory of a TIFF structure; 0 if there is none.
func tiffOrientation(tiff []byte) byte {
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(tiff[:2]) == "MM" {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 0
	}
	entries := int(order.Uint16(tiff[at:]))
	for entry := tiff[at+2:]; entries > 0 && len(entry) >= 12; entries, entry = entries-1, entry[12:] {
		if order.Uint16(entry) == tagOrientation {
			if v := order.Uint16(entry[8:]); v >= 1 && v <= 8 {
				return byte(v)
			}
			return 0
		}
	}
	return 0
}

// exif is a TIFF structure with nothing but an orientation.
func exif(orientation byte) []byte {
	return []byte{
		'I', 'I', 42, 0, 8, 0, 0, 0, // the first directory is at 8
		1, 0, // entries
		tagOrientation & 0xff, tagOrientation >> 8, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, // one number of 16 bits
		0, 0, 0, 0, // no further directory
	}
}
