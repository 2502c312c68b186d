// Package specimen draws invented Aadhaar-like cards for examples and tests, and masks them the way the vendor does.
//
// Invariants. Nobody on a card exists: the names are the Indian languages' words for "sample" and "example", the
// addresses lie nowhere, and the numbers, although their Verhoeff check digit is right, begin with 0 or 1, which no
// Aadhaar number does. Every card says SPECIMEN in letters that no thumbnail hides, and so does its QR code. The same
// seed draws the same card.
//
// Mask is the simulator's stand-in for the vendor's masking. It recognises the layouts of this package and nothing
// else: the package must not be taken for a way to mask real documents.
package specimen

//go:generate go run ./gen ../../../examples
