-- report.lua tells the fleet what a call met, where the fleet must know at once.
--
-- ARGV[3]  outcome: ok, failed, limited, empty (answered with Remaining 0), or freed (a probe that did not call)
-- ARGV[4]  hash of the job
-- ARGV[5]  nonce of the breaker's probe, or empty
-- ARGV[6]  silence that the vendor asked for, in µs; 0 unknown (limited)
-- ARGV[7..10] limit, remaining, reset and slot of the call (see note)
--
-- Result: {now, until, breaker changed (0 no, 1 opened, 2 closed), failing, the vendor's limit where it changed (-1 no), step, ease, tight}
local outcome, job, nonce = ARGV[3], ARGV[4], ARGV[5]
local wait, slot = tonumber(ARGV[6]), tonumber(ARGV[10])

local new_limit = -1
if note(tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), slot) == 1 then new_limit = s.cap end

local probe = nonce ~= '' and nonce == s.probe_nonce
local breaker = 0

local function open(length)
  set('open_len', length)
  set('open_until', now + length)
  set('others', 0)
  breaker = 1
end

if outcome == 'limited' then
  set('limited', s.limited + 1)
  set('limited_at', now)
  -- Calls that were out when the first 429 came say nothing new.
  if slot > s.cut_at or s.cut_at > now then
    -- Without a time from the vendor the silence doubles: 1 s, 2 s, ... 64 s, as long as each ends in another 429.
    local recent = now < s['until'] + 10 * SECOND + 2 * step
    if recent then set('streak', math.min(s.streak + 1, 6)) else set('streak', 0) end
    -- Half a percent. Where a bucket of one call may be what refused, jitter is the reason: at least 1 ms a call, and
    -- 2 ms where no header tells.
    local more = 5000
    if s.high == 0 then
      local jitter = 2000
      if s.zeros > 0 then jitter = 1000 end
      more = math.max(more, jitter * limit / per * SECOND)
    end
    set('cut', math.floor(math.min(500000, cut_now() * 1.5 + more)))
    set('cut_at', now)
    step = interval()
  end
  if wait <= 0 then wait = SECOND * 2 ^ s.streak end
  silence(wait)
elseif outcome == 'failed' then
  if probe then
    open(math.min(s.open_len * 2, 300 * SECOND))
  elseif s.open_until == 0 then
    set('fails', s.fails + 1)
    local seen = 0
    for other in string.gmatch(s.jobs, '%S+') do
      if other == job then job = '' end
      seen = seen + 1
    end
    if job ~= '' and seen < 3 then
      set('jobs', s.jobs .. ' ' .. job)
      seen = seen + 1
    end
    if s.fails >= 5 and seen >= 3 then open(30 * SECOND) end
  end
elseif outcome == 'ok' and (probe or s.open_until == 0) then
  if s.open_until > 0 then breaker = 2 end
  set('fails', 0)
  set('jobs', '')
  set('open_until', 0)
  set('open_len', 0)
end
if probe then
  set('probe_nonce', '')
  set('probe_until', 0)
end
save()
local failing = 0
if s.fails > 0 then failing = 1 end
return {now, s['until'], breaker, failing, new_limit, step, ease(), tight()}
