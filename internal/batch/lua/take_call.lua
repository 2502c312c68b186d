-- Counts one call, or takes the count of one back. Returns 0 if the call limit is reached. Without progress the call is
-- allowed.
-- KEYS: progress hash. ARGV: 1 or -1.
local h = redis.call('HMGET', KEYS[1], 'pass', 'cap', 'calls')
if not h[1] then return 1 end
local cap, calls, n = tonumber(h[2] or '0'), tonumber(h[3] or '0'), tonumber(ARGV[1])
if n > 0 and cap > 0 and calls >= cap or calls + n < 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'calls', n)
return 1
