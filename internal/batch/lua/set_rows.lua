-- Sets the states of rows and updates the counts, if the batch has progress.
-- KEYS: progress hash, rows string, (unused), bitmap of reviews, string of codes. ARGV: 1 to count the rows that end as ended
-- lately; then for each row its number (from 0), state, the state to decrement if the stored one is 15, 1 if a person should
-- look at its image, 1 if so before and the stored one is 15, its code or empty, the code before if the stored state is 15.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local ended = 0
local function number_of(code)
  if code == '' then return 0 end
  local n = redis.call('HGET', KEYS[1], 'i:' .. code)
  if not n and code ~= 'other' and tonumber(redis.call('HGET', KEYS[1], 'codes') or '0') >= 200 then return number_of('other') end
  if not n then
    n = redis.call('HINCRBY', KEYS[1], 'codes', 1)
    redis.call('HSET', KEYS[1], 'i:' .. code, n)
  end
  return tonumber(n)
end
for i = 2, #ARGV, 7 do
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
  local code, old_code = number_of(ARGV[i + 5]), string.byte(redis.call('GETRANGE', KEYS[5], row, row)) or 0
  if old == 15 then old_code = number_of(ARGV[i + 6]) end
  if code ~= old_code then
    if old_code > 0 then redis.call('HINCRBY', KEYS[1], 'k' .. old_code, -1) end
    if code > 0 then redis.call('HINCRBY', KEYS[1], 'k' .. code, 1) end
  end
  if code ~= old_code or old == 15 and code > 0 then redis.call('SETRANGE', KEYS[5], row, string.char(code)) end
  if old ~= state then
    redis.call('SETRANGE', KEYS[2], at, string.char(high * 16 + low))
    if old == 0 then ended = ended + 1 end
    if old == 15 then
      old = was
      if ARGV[i + 4] == '1' then redis.call('HINCRBY', KEYS[1], 'reviews', -1) end
    end
    if old > 0 then redis.call('HINCRBY', KEYS[1], 'n' .. old, -1) end
    if state > 0 then redis.call('HINCRBY', KEYS[1], 'n' .. state, 1) end
  end
  if ARGV[i + 3] == '1' or redis.call('GETBIT', KEYS[4], row) == 1 then redis.call('SETBIT', KEYS[4], row, ARGV[i + 3]) end
end
if ARGV[1] == '1' and ended > 0 then -- see perMinute
  local step = math.floor(tonumber(redis.call('TIME')[1]) / 30)
  local field = 'e' .. step % 12
  local count = tonumber(redis.call('HGET', KEYS[1], field) or '0')
  if math.floor(count / 1000000) ~= step then count = step * 1000000 end
  redis.call('HSET', KEYS[1], field, string.format('%.0f', count + ended))
end
return 1
