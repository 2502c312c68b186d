// Package specimen draws invented Aadhaar-like cards for examples and tests, and masks them like the vendor.
//
// Invariants. All persons are invented: names are words for "sample" and "example" in Indian languages, addresses do not
// exist, and numbers have a valid Verhoeff check digit but begin with 0 or 1, unlike Aadhaar numbers. Every card and its QR
// code say SPECIMEN, on the card large enough for thumbnails. The same seed draws the same card.
//
// Mask is for the simulator. It recognizes only the layouts of this package and cannot mask real documents.
package specimen

//go:generate go run ./gen ../../../examples
