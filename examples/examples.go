// Package examples carries the specimen manifests and cards of this folder, so that a kycq binary can be tried where no
// source tree is. They are written by internal/dev/specimen/gen; README.md says what each row shows.
package examples

import "embed"

// Files holds README.md, aadhaar.csv, passports.csv and cards/.
//
//go:embed README.md aadhaar.csv passports.csv cards
var Files embed.FS
