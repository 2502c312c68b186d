package batch

import (
	_ "embed" // the scripts

	"github.com/redis/go-redis/v9"
)

// Every script works on the keys of one batch, which share a hash tag. They use only commands that every Redis from 6.2
// has, and miniredis too: a row's half byte is changed by GETRANGE and SETRANGE, not by BITFIELD.
var (
	//go:embed lua/settle.lua
	settleSource string
	//go:embed lua/begin.lua
	beginSource string
	//go:embed lua/advance.lua
	advanceSource string
	//go:embed lua/enter.lua
	enterSource string
	//go:embed lua/call.lua
	callSource string
	//go:embed lua/sync.lua
	syncSource string

	settleScript  = redis.NewScript(settleSource)
	beginScript   = redis.NewScript(beginSource)
	advanceScript = redis.NewScript(advanceSource)
	enterScript   = redis.NewScript(enterSource)
	callScript    = redis.NewScript(callSource)
	syncScript    = redis.NewScript(syncSource)
)
