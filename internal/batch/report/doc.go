// Package report joins the rows of a manifest with what became of them, for people: every column of the input, then the
// outcome. It streams: memory does not depend on the number of rows.
//
// What it writes holds the input, and so personal data: it goes to whoever holds the key and nowhere else. kycq's own
// report, which has none, is written by the feeder.
package report
