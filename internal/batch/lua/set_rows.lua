-- Sets the states of rows and updates the counts, if the batch has progress.
-- KEYS: progress hash, rows string, (unused), bitmap of reviews. ARGV: for each row its number (from 0), state, the state to
-- decrement if the stored one is 15, 1 if a person should look at its image, and 1 if so before and the stored one is 15.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 1, #ARGV, 5 do
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
    if old == 15 then
      old = was
      if ARGV[i + 4] == '1' then redis.call('HINCRBY', KEYS[1], 'reviews', -1) end
    end
    if old > 0 then redis.call('HINCRBY', KEYS[1], 'n' .. old, -1) end
    if state > 0 then redis.call('HINCRBY', KEYS[1], 'n' .. state, 1) end
  end
  if ARGV[i + 3] == '1' or redis.call('GETBIT', KEYS[4], row) == 1 then redis.call('SETBIT', KEYS[4], row, ARGV[i + 3]) end
end
return 1
