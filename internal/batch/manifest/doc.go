// Package manifest reads what a user hands in for a backfill, a CSV or JSONL file with a row per job, and keeps it as
// sealed parts.
//
// The file is foreign: it may be 2 GB of one line, a renamed zip, or hold a path to /etc/passwd. So memory is bounded by
// one row (MaxRow) and the number of columns (MaxColumns), whatever is in it; what makes the whole file unreadable is a
// *FileError, what spoils one row is that row's *Problem. Neither quotes a cell: cells are personal.
//
// Reading the same bytes again gives the same rows with the same numbers. The package must not know Redis, queues or how
// a batch progresses; it opens images only through the Folder that confines them.
package manifest
