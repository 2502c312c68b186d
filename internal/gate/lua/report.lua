-- report.lua records what became of a call.
--
-- KEYS[1]  kycq:{gate}:<kind>, a hash; KEYS[2] kycq:{gate}:hold
-- ARGV[1]  outcome: an OutcomeKind
-- ARGV[2]  hash of the job; ARGV[3] nonce of a test call, or empty
-- ARGV[4]  slot; ARGV[5] silence that the vendor asked for, in µs, 0 unknown
-- ARGV[6]  X-RateLimit-Limit, 0 unknown; ARGV[7] calls of the configured rate
--
-- Result: {breaker, limit}: 0 unchanged, 1 opened, 2 closed; the vendor's lower limit if it is new, else 0.
local kind, hold, outcome, job, nonce, slot = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local SECOND = 1000000
local t = redis.call('TIME')
local now = tonumber(t[1]) * SECOND + tonumber(t[2])

local s, writes = {}, {}
local flat = redis.call('HGETALL', kind)
for i = 1, #flat, 2 do s[flat[i]] = flat[i + 1] end
local function number(name) return tonumber(s[name] or 0) or 0 end
local function set(name, value)
  if type(value) == 'number' then value = string.format('%.0f', value) end
  writes[#writes + 1], writes[#writes + 2] = name, value
end

-- While a hold is tested, every call that it covers decides, also one without the token or whose token ran out. A refusal
-- does not restore an operator's hold, since it raises one of its own.
local holds = redis.call('HGETALL', hold)
for i = 1, #holds, 2 do
  local field, h, cause, scope = holds[i], cjson.decode(holds[i + 1]), string.match(holds[i], '^([^:]*):?(.*)')
  local own = nonce ~= '' and h.token == nonce
  if h.probing and (scope == '' or kind == 'kycq:{gate}:' .. scope) then
    if outcome == 'answered' or outcome == 'duplicate' then
      redis.call('HDEL', hold, field)
    elseif own or outcome == 'refused' then
      if own then h.token, h.token_until = nil, nil end
      if outcome == 'refused' and cause ~= 'operator' then h.probing = nil end
      redis.call('HSET', hold, field, cjson.encode(h))
    end
  end
end

local lower, limit, rate = 0, tonumber(ARGV[6]), tonumber(ARGV[7])
if number('calls') > 0 then rate = number('calls') end
local cap = limit < rate and limit or 0
if limit > 0 and cap ~= number('cap') then
  set('cap', cap)
  lower = cap
end

local breaker, ends = 0, number('open_until')
if ends > now + 300 * SECOND then ends = 1 end -- stored before the clock was set back
local closed, half_open = ends == 0, ends > 0 and (ends <= now or s.probe_nonce)
local function open(length)
  breaker = 1
  set('open_len', length)
  set('open_until', now + length)
  set('others', 0)
  redis.call('HDEL', kind, 'probe_nonce', 'probe_until') -- of another trial, whose outcome no longer counts
end
if nonce ~= '' and s.probe_nonce == nonce then redis.call('HDEL', kind, 'probe_nonce', 'probe_until') end

if outcome == 'limited' then
  local silence, stop, seen = tonumber(ARGV[5]), number('until'), number('limited_at')
  if stop > now + 120 * SECOND then stop = 0 end -- stored before the clock was set back
  if slot > seen or seen > now then -- else the call left before the last 429, which has widened the margin
    local margin = s.margin and number('margin') or 20000
    set('floor', margin)
    set('floor_until', now + 24 * 3600 * SECOND)
    set('margin', math.min(2 * margin, 50000))
    set('margin_at', now)
  end
  if silence <= 0 then -- the vendor did not say: 1 s, 2 s, ... 64 s while each silence ends in another 429
    local streak = now < stop + 10 * SECOND and math.min(number('streak') + 1, 6) or 0
    set('streak', streak)
    silence = SECOND * 2 ^ streak
  end
  set('limited', number('limited') + 1)
  set('limited_at', now)
  set('until', math.max(stop, now + math.min(silence, 120 * SECOND)))
elseif outcome == 'failed' and half_open and nonce ~= '' then
  open(math.min(number('open_len') * 2, 300 * SECOND))
elseif outcome == 'failed' and closed then
  local fails, jobs, seen = number('fails') + 1, s.jobs or '', 0
  for other in string.gmatch(jobs, '%S+') do
    seen = seen + 1
    if other == job then job = '' end
  end
  if job ~= '' and seen < 3 then
    seen = seen + 1
    set('jobs', jobs .. ' ' .. job)
  end
  set('fails', fails)
  if fails >= 5 and seen >= 3 then open(30 * SECOND) end
elseif (outcome == 'answered' or outcome == 'refused') and (half_open or closed and number('fails') > 0) then
  redis.call('HDEL', kind, 'fails', 'jobs', 'open_until', 'open_len')
  if half_open then breaker = 2 end
elseif outcome == 'unused' then
  if number('last') == slot then set('last', slot - number('step')) end -- no later slot is granted: this one is free again
  local bucket = math.floor(slot / (10 * SECOND))
  local count = number('n' .. bucket % 7)
  if count > bucket * SECOND and count < (bucket + 1) * SECOND then set('n' .. bucket % 7, count - 1) end
end
if #writes > 0 then redis.call('HSET', kind, unpack(writes)) end
return {breaker, lower}
