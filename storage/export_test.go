package storage

// For tests, whose stores cannot make objects older.
var (
	Needed  = (*Store).needed
	Renew   = (*Store).renew
	Rewrite = (*Store).rewrite
)
