-- Moves the cursor, unless another feeder did or the run is over.
-- KEYS: progress hash. ARGV: run, from, to, calls found in records, consecutive rows without a record (absent: unchanged).
local h = redis.call('HMGET', KEYS[1], 'pass', 'cursor')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'cursor', ARGV[3])
if ARGV[4] ~= '0' then redis.call('HINCRBY', KEYS[1], 'calls', ARGV[4]) end
if ARGV[5] then redis.call('HSET', KEYS[1], 'blank', ARGV[5]) end
return 1
