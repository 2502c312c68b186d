-- pace.lua stands before every other script of a kind's hash and gives them its state, the clock and the pace.
--
-- KEYS[1]  kycq:{<kind>}:gate, a hash, never expires
-- ARGV[1]  calls, ARGV[2] time in µs: the configured rate, used where no rate was set while running
--
-- Times are µs of this Redis' clock. Fields:
--   last                  slot that was given out last
--   since                 slot that began the present unbroken run of evenly spaced slots
--   tail                  turn that was given out last: bulk callers come back one after the other, not all at once
--   keep                  slots up to here are kept for live callers that wait
--   until                 the vendor asked for silence until then
--   streak                silences in a row without a time of their own
--   calls per             rate set while running
--   cap                   the vendor's own limit, where it is lower
--   cut cut_at            share taken off the pace after a 429 (millionths), and when
--   high zeros            highest X-RateLimit-Remaining seen; zeros seen in a row since
--   left flat             the X-RateLimit-Remaining before, and how often in a row it was small and did not fall
--   emptied trickle       a silence began with Remaining 0; calls come back one by one, not a whole window at a time
--   held                  when the account's hold was raised (the hold itself is another key)
--   fails jobs            failures in a row, and the last jobs that failed (hashes)
--   open_until open_len   the breaker; open_until 0 means closed
--   probe_nonce probe_until probe_job others    the breaker's probe, and whether other jobs were turned away meanwhile
--   limited limited_at    429s, all time
--   n0..n6                calls in seven 10-second buckets: number of the bucket * 1000000 + calls
--   w:<process>           "live:bulk:time" of callers that wait in a process

local key = KEYS[1]
local SECOND = 1000000

local t = redis.call('TIME')
local now = tonumber(t[1]) * SECOND + tonumber(t[2])
local bucket = math.floor(now / (10 * SECOND))
local count_field = 'n' .. (bucket % 7)

local numbers = {'last', 'since', 'tail', 'keep', 'until', 'streak', 'calls', 'per', 'cap', 'cut', 'cut_at', 'high', 'zeros',
  'left', 'flat', 'emptied', 'trickle', 'held', 'fails', 'open_until', 'open_len', 'probe_until', 'others', 'limited', 'limited_at', count_field}
local texts = {'jobs', 'probe_nonce', 'probe_job'}

local names = {}
for _, n in ipairs(numbers) do names[#names + 1] = n end
for _, n in ipairs(texts) do names[#names + 1] = n end
local raw = redis.call('HMGET', key, unpack(names))
local s = {}
for i, n in ipairs(names) do
  if i <= #numbers then s[n] = tonumber(raw[i] or 0) or 0 else s[n] = raw[i] or '' end
end
local missing = not raw[1]

local changed = {}
local function set(name, value)
  if s[name] ~= value then
    s[name] = value
    changed[name] = true
  end
end

-- save writes what was changed, and the further pairs given, in one command.
local function save(...)
  local args = {...}
  for name in pairs(changed) do
    args[#args + 1] = name
    local v = s[name]
    if type(v) == 'number' then v = string.format('%.0f', v) end
    args[#args + 1] = v
  end
  if #args > 0 then redis.call('HSET', key, unpack(args)) end
end

local calls, per = tonumber(ARGV[1]), tonumber(ARGV[2])
if s.calls > 0 and s.per > 0 then calls, per = s.calls, s.per end
local limit = calls
if s.cap > 0 and s.cap < limit then limit = s.cap end

-- cut_now is what is left of the cut: half a percent comes back in five windows, a large one in twenty.
local function cut_now()
  if s.cut <= 0 then return 0 end
  local windows = math.max(0, now - s.cut_at) / per
  return math.max(0, s.cut - windows * math.max(1000, s.cut / 20))
end

-- tight is 1 when every answer said that nothing remains: a bucket of one call.
local function tight()
  if s.high == 0 and s.zeros > 0 then return 1 end
  return 0
end

-- interval is the distance of two slots. The margin under the limit is 1.5 % while nothing is known (measured: enough
-- for every shape of window). A vendor that shows how much is left lets us go closer: half a percent, but at least
-- 50 ms a window for calls that leave late. A bucket that holds one call forgives nothing: 2 %, at least 3 ms a call.
local function interval()
  local nominal = per / limit
  local i
  if tight() == 1 then
    i = nominal + math.max(nominal * 0.02, 3000)
  elseif s.high > 0 then
    i = nominal * math.max(1 / 0.995, (per + 50000) / per)
  else
    i = nominal / 0.985
  end
  return math.ceil(i / (1 - math.min(cut_now(), 500000) / 1000000))
end

local step = interval()
-- horizon is how early a bulk caller gets its slot: late enough that a live call finds the next slots free.
local horizon = math.max(100000, math.floor(step / 2))

-- A clock that was set back must not stop the fleet: what lies further ahead than any real reservation is forgotten.
local far = now + horizon + 66 * step
if s.last > far then set('last', now) end
if s.tail > far + 122 * SECOND then set('tail', 0) end
if s.keep > far then set('keep', 0) end
if s['until'] > now + 121 * SECOND then set('until', 0) end

-- ease is the longest X-RateLimit-Reset, said with Remaining 0, that our own even pace explains and keeps: the vendor
-- counts whole seconds, so obeying it to the letter would cost up to a second each time. That is so when calls come
-- back one by one (a sliding window, a small bucket), as they do where never more than a few were left; or when the
-- slots were unbroken for a whole window, so that limit + 1 of our calls do not fit into one. A 429 says that somebody
-- else calls too: then only the first reason counts.
local function ease()
  local small = s.high <= limit / 20
  local unbroken = s.since > 0 and s.last - s.since >= per
  if s.trickle == 1 or (small or unbroken) and cut_now() == 0 then return SECOND + step end
  return 0
end

-- silence stops the kind until a time, at most 120 s from now.
local function silence(wait)
  local stop = now + math.min(math.max(wait, 0), 120 * SECOND)
  if stop > s['until'] then set('until', stop) end
end

-- note reads the vendor's headers: limit and remaining (-1 unknown), reset in µs (0 unknown), and the slot of the call
-- that was answered. It returns 1 when the vendor's limit has changed what we do.
local function note(said, remaining, reset, slot)
  local news = 0
  if said > 0 then
    local cap = 0
    if said < calls then cap = said end
    if cap ~= s.cap then
      set('cap', cap)
      set('high', 0)
      set('zeros', 0)
      limit = calls
      if cap > 0 then limit = cap end
      step = interval()
      news = 1
    end
  end
  if remaining < 0 then return news end
  if s.emptied == 1 and slot >= s['until'] then
    set('emptied', 0)
    if remaining < limit / 2 then set('trickle', 1) end
  end
  -- In a fixed window every call of ours makes it fall; in a bucket or a sliding window our pace keeps it where it is.
  if remaining <= limit / 10 and remaining >= s.left then set('flat', math.min(s.flat + 1, 3)) else set('flat', 0) end
  set('left', remaining)
  if s.flat >= 3 then set('trickle', 1) end
  if remaining >= limit / 2 then set('trickle', 0) end
  if remaining > s.high then set('high', remaining) end
  if remaining > 0 then
    set('zeros', 0)
    return news
  end
  set('zeros', math.min(s.zeros + 1, 1000))
  if reset > 0 and reset > ease() then
    silence(reset)
    set('emptied', 1)
  end
  return news
end
