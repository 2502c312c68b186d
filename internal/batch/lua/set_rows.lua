-- Sets the states of rows and updates the counts, if the batch has progress.
-- KEYS: progress hash, rows string. ARGV: triples of row (from 0), state, and the state to decrement if the stored one is 15.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 1, #ARGV, 3 do
  local row, state, was = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local at = math.floor(row / 2)
  local byte = string.byte(redis.call('GETRANGE', KEYS[2], at, at)) or 0
  local low = byte % 16
  local high = (byte - low) / 16
  local old
  if row % 2 == 0 then
    old, low = low, state
  else
    old, high = high, state
  end
  if old ~= state then
    redis.call('SETRANGE', KEYS[2], at, string.char(high * 16 + low))
    if old == 15 then old = was end
    if old > 0 then redis.call('HINCRBY', KEYS[1], 'n' .. old, -1) end
    if state > 0 then redis.call('HINCRBY', KEYS[1], 'n' .. state, 1) end
  end
end
return 1
