-- take.lua grants the next slot of a kind to one call, or returns why it does not and when to ask again. A slot is
-- granted at most NEAR ahead; until then a caller has an estimate of its slot, which only says when to ask.
--
-- KEYS[1]  kycq:{gate}:<kind>, a hash; KEYS[2] kycq:{gate}:hold; KEYS[3] name of the installation; KEYS[4] revision
--          of the pauses
-- ARGV[1]  calls and ARGV[2] period: the configured rate, in force unless SetRate stored another
-- ARGV[3]  lane, ARGV[4] hash of the job, ARGV[5] nonce for a test call
-- ARGV[6]  newest slot granted to the process; ARGV[7] 1: Redis failed since then and may have lost its last seconds
-- ARGV[8]  the process' estimate for this lane, 0 none; ARGV[9] 1: more calls wait behind this one
-- ARGV[10] process, ARGV[11] live and ARGV[12] bulk calls that wait in it, including this one
-- ARGV[13] life of a test call's token, from its slot; ARGV[14] revision of the pauses that the process has read;
--          ARGV[15] the name that Redis must carry, * any
--
-- Result: {code, wait, slot, test, estimate, ask, tolerance}. Times are in µs, instants by Redis' clock.
--   0 granted: the slot is wait from now and may be used tolerance later; test is 1 for a test call; the next call of the
--     lane has the estimate, and asks in ask
--   1 not yet: ask again in wait, with the estimate
--   2 on hold; 3 on hold, a test call is out; 4 breaker open for wait; 5 breaker half-open, the trial call is out
--   6 Redis is new, has lost data or is another installation's
local kind, hold, lane, job, nonce = KEYS[1], KEYS[2], ARGV[3], ARGV[4], ARGV[5]
local SECOND, NEAR, LIFE = 1000000, 150000, tonumber(ARGV[13])
local t = redis.call('TIME')
local now = tonumber(t[1]) * SECOND + tonumber(t[2])

local s, writes = {}, {}
local flat = redis.call('HGETALL', kind)
for i = 1, #flat, 2 do s[flat[i]] = flat[i + 1] end
local function number(name) return tonumber(s[name] or 0) or 0 end
-- instant drops a time that is further ahead than it can be: it was stored before the clock was set back.
local function instant(name, ahead)
  local at = number(name)
  return at <= now + ahead and at or 0
end
local function set(name, value)
  if type(value) == 'number' then value = string.format('%.0f', value) end
  writes[#writes + 1], writes[#writes + 2] = name, value
end

-- Hold. The calls after a resume are test calls. Their token, in every hold that they test, only paces them; see report.lua.
local name, revision = redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4])
if ARGV[15] ~= '*' and name ~= ARGV[15] or not revision or tonumber(revision) < tonumber(ARGV[14]) then return {6, 0} end
local tested, left = {}, 0
local holds = redis.call('HGETALL', hold)
for i = 1, #holds, 2 do
  local scope = string.match(holds[i], ':(.*)')
  if not scope or kind == 'kycq:{gate}:' .. scope then
    local h = cjson.decode(holds[i + 1])
    if not h.probing then return {2, 0} end
    local out = tonumber(h.token_until or 0) - now
    if out <= LIFE + NEAR then left = math.max(left, out) end
    tested[holds[i]] = h
  end
end
if left > 0 then return {3, left} end

-- Breaker. The job of the last trial leaves the first 10 s to other jobs, where there are any: a job that fails because
-- of its own content must not keep the breaker open.
local open_until = number('open_until')
if open_until > 0 then
  local same = s.probe_job == job
  if not same then redis.call('HSET', kind, 'others', '1') end
  open_until = math.max(instant('open_until', 300 * SECOND), 1)
  if now < open_until then return {4, open_until - now} end
  local trial = instant('probe_until', LIFE + NEAR)
  if now < trial then return {5, trial - now} end
  local reserved = open_until + 10 * SECOND
  if same and s.others == '1' and now < reserved then return {5, reserved - now} end
end

-- Rate and margin, which is in millionths of the rate.
local calls, per = tonumber(ARGV[1]), tonumber(ARGV[2])
if number('calls') > 0 then calls, per = number('calls'), number('per') end
if number('cap') > 0 then calls = math.min(calls, number('cap')) end
local rate, margin, since = calls .. '/' .. per, number('margin'), instant('margin_at', 0)
if s.rate ~= rate or margin == 0 then
  margin, since = 20000, now
  set('rate', rate)
  set('floor', 0)
elseif since == 0 then
  since = now
elseif now - since >= 60 * SECOND then
  local floor = 5000
  if instant('floor_until', 24 * 3600 * SECOND) > now then floor = math.max(floor, number('floor')) end
  margin, since = math.max(margin - 2500, floor), now
end
set('margin', margin)
set('margin_at', since)
local step = math.ceil(per / calls / (1 - margin / 1000000))

-- Slots that Redis may have lost are less than NEAR ahead.
local last, newest = number('last'), tonumber(ARGV[6])
if not s.last or ARGV[7] == '1' then last = now + NEAR end
last = math.max(math.min(last, now + NEAR), newest <= now + NEAR and newest or 0)
local slot, estimate, ask = math.max(last + step, instant('until', 120 * SECOND), now), tonumber(ARGV[8]), 0
local asking = 2 -- lanes with an estimate: this process', and those of processes that have asked lately
for name, value in pairs(s) do
  local live, bulk, at = string.match(string.sub(name, 1, 2) == 'w:' and value or '', '(%d+):(%d+):(%d+)')
  local age = at and math.abs(now - at) or 0
  if at and age < 4 * SECOND then asking = asking + math.min(live, 1) + math.min(bulk, 1) end
  if age > 60 * SECOND then redis.call('HDEL', kind, name) end
end
local far = slot - now + asking * step -- later estimates are of dead processes
local estimates = {live = instant('estimate_live', far), bulk = instant('estimate_bulk', far)}
local function next_estimate(after)
  estimate = math.max(estimates[lane], after) + step
  if lane == 'bulk' then estimate = math.max(estimate, estimates.live + step) end -- live calls wait for the slots before
  set('estimate_' .. lane, estimate)
end

local due, waiting = estimate - NEAR <= now, {live = tonumber(ARGV[11]), bulk = tonumber(ARGV[12])}
if due and slot == now then slot = math.max(slot, estimate) end -- time for the caller to prepare its call
local granted = slot - NEAR <= now and (lane == 'live' or slot > estimates.live)
if granted then
  last, estimate = slot, 0
  if ARGV[9] == '1' then
    next_estimate(slot)
    ask = math.max(estimate - NEAR - now, 0)
  end
  waiting[lane] = waiting[lane] - 1
  local bucket = math.floor(slot / (10 * SECOND)) -- see lastMinute
  local count = number('n' .. bucket % 7)
  if math.floor(count / SECOND) ~= bucket then count = bucket * SECOND end
  set('n' .. bucket % 7, count + 1)
elseif due or estimate > estimates[lane] then
  next_estimate(slot - step)
end
set('last', last)
set('step', step)
set('w:' .. ARGV[10], string.format('%.0f:%.0f:%.0f', waiting.live, waiting.bulk, now))

local test, ends = granted and (next(tested) or open_until > 0) and 1 or 0, string.format('%.0f', slot + LIFE)
for field, h in pairs(granted and tested or {}) do
  h.token, h.token_until = nonce, ends
  redis.call('HSET', hold, field, cjson.encode(h))
end
if granted and open_until > 0 then
  redis.call('HSET', kind, 'probe_nonce', nonce, 'probe_until', ends, 'probe_job', job, 'others', 0)
end
redis.call('HSET', kind, unpack(writes))
if not granted then return {1, math.max(estimate - NEAR - now, 1000), 0, 0, estimate, 0, 0} end
-- A call that is late by less than the margin of a period fits into every window.
local tolerance = math.min(math.max(step / 2, 10000, per * margin / 2000000), 250000)
return {0, slot - now, slot, test, estimate, ask, math.floor(tolerance)}
