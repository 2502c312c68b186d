-- Creates the progress of a batch, unless it exists.
-- KEYS: progress hash, rows string, set of foreign rows, bitmap of reviews, string of codes. ARGV: rows string, then fields and values of the hash.
for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('DEL', KEYS[3], KEYS[4], KEYS[5])
redis.call('SET', KEYS[2], ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return 1
