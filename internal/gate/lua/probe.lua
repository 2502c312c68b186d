-- probe.lua asks whether a job may pass a breaker that is not closed, and gives out its probe: one call at a time, 60 s.
--
-- ARGV[3]  hash of the job
-- ARGV[4]  nonce for the probe
--
-- Result: {code, µs to wait}: 0 closed; 1 the caller is the probe; 2 open; 3 somebody else is the probe
local job, nonce = ARGV[3], ARGV[4]
local function answer(code, wait)
  save()
  return {code, wait}
end

if s.open_until == 0 then return answer(0, 0) end
if job ~= s.probe_job then set('others', 1) end
if now < s.open_until then return answer(2, s.open_until - now) end
if s.probe_nonce ~= '' and now < s.probe_until then return answer(3, s.probe_until - now) end
-- The job of the last probe leaves the first 10 s to others, if there are any: a job that fails by its own content
-- must not keep the breaker open.
local reserved = s.open_until + 10 * SECOND
if job == s.probe_job and s.others == 1 and now < reserved then return answer(3, reserved - now) end
set('probe_nonce', nonce)
set('probe_until', now + 60 * SECOND)
set('probe_job', job)
set('others', 0)
return answer(1, 0)
