-- hold.lua changes the account's hold.
--
-- KEYS[1]  kycq:{account}:hold, a hash; missing means no hold
--          reason code next_action by since (µs), probing (1: resumed, one call may find out), token token_until (its pass)
-- ARGV[1]  what to do:
--   raise  ARGV[2..5] reason code next_action by
--   resume
--   take   ARGV[2] nonce: be the probe, for 60 s
--   settle ARGV[2] nonce, ARGV[3] answered, refused or freed
--   clear
-- Result: {done, µs}: raise 1 first, 0 was held; resume 1 done, 0 no hold; take 0 no hold, 1 held, 2 probing by somebody
--   else for µs, 3 taken; settle 1 the nonce was the probe's, 0 not; clear 1 done, 0 no hold
local key = KEYS[1]
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local held = redis.call('EXISTS', key) == 1
local verb = ARGV[1]

if verb == 'raise' then
  if held then
    redis.call('HSET', key, 'probing', '0', 'token', '')
    return {0, 0}
  end
  redis.call('HSET', key, 'reason', ARGV[2], 'code', ARGV[3], 'next_action', ARGV[4], 'by', ARGV[5],
    'since', string.format('%.0f', now), 'probing', '0', 'token', '')
  return {1, 0}
end
if verb == 'clear' then return {redis.call('DEL', key), 0} end
if not held then return {0, 0} end
if verb == 'resume' then
  redis.call('HSET', key, 'probing', '1', 'token', '')
  return {1, 0}
end

local h = redis.call('HMGET', key, 'probing', 'token', 'token_until')
if verb == 'take' then
  if h[1] ~= '1' then return {1, 0} end
  local left = (tonumber(h[3] or 0) or 0) - now
  if h[2] and h[2] ~= '' and left > 0 then return {2, left} end
  redis.call('HSET', key, 'token', ARGV[2], 'token_until', string.format('%.0f', now + 60000000))
  return {3, 0}
end
-- settle
if h[2] ~= ARGV[2] then return {0, 0} end
if ARGV[3] == 'answered' then
  redis.call('DEL', key)
elseif ARGV[3] == 'refused' then
  redis.call('HSET', key, 'probing', '0', 'token', '')
else
  redis.call('HSET', key, 'token', '')
end
return {1, 0}
