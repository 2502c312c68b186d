-- Counts one call. Returns 0 if the call limit is reached. Without progress the call is allowed.
-- KEYS: progress hash.
local h = redis.call('HMGET', KEYS[1], 'pass', 'cap', 'calls')
if not h[1] then return 1 end
local cap = tonumber(h[2] or '0')
if cap > 0 and tonumber(h[3] or '0') >= cap then return 0 end
redis.call('HINCRBY', KEYS[1], 'calls', 1)
return 1
