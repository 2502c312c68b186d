-- Starts the next run. A run over all rows opens all of them.
-- KEYS: progress hash, rows string, (unused), bitmap of reviews, string of codes. ARGV: run that is over, next run, 1 to
-- open all rows, highest row state.
if redis.call('HGET', KEYS[1], 'pass') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'pass', ARGV[2], 'cursor', 0, 'fed', 0)
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[2], KEYS[4], KEYS[5])
  redis.call('HDEL', KEYS[1], 'reviews')
  for state = 1, tonumber(ARGV[4]) do redis.call('HDEL', KEYS[1], 'n' .. state) end
  for code = 1, tonumber(redis.call('HGET', KEYS[1], 'codes') or '0') do redis.call('HDEL', KEYS[1], 'k' .. code) end
end
return 1
