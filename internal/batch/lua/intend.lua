-- Records how many rows of a run may have been enqueued, unless another feeder moved the cursor or the run is over.
-- KEYS: progress hash. ARGV: run, cursor, rows.
local h = redis.call('HMGET', KEYS[1], 'pass', 'cursor', 'fed')
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] then return 0 end
if tonumber(ARGV[3]) > tonumber(h[3] or '0') then redis.call('HSET', KEYS[1], 'fed', ARGV[3]) end
return 1
