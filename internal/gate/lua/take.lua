-- take.lua asks for the next slots of a kind. One call serves one process.
--
-- ARGV[3]  process
-- ARGV[4]  lane: live or bulk
-- ARGV[5]  slots wanted, 1 or 2
-- ARGV[6]  the turn that the process holds, 0 for none (bulk)
-- ARGV[7]  1: callers of this lane wait beyond those wanted
-- ARGV[8]  newest slot that the process knows of, 0 for none: brings back what a lost key forgot
-- ARGV[9]  1: the process met an error since its last slot; Redis may have lost the last seconds
-- ARGV[10] 1: the asker is the probe of the account's hold
-- ARGV[11] nonce of the breaker's probe, or empty
-- ARGV[12] live and ARGV[13] bulk callers that wait in the process without a slot
-- ARGV[14] slots that were not used since the last call
-- ARGV[15..18] limit, remaining, reset and slot of the newest answer (see note; -1 -1 0 0 for none)
-- ARGV[19] a slot that the process was too late for, 0 for none: if nothing was given out behind it, it moves to now
-- ARGV[20] 1: the first call of this process; what dead processes left behind is swept
--
-- Result: {code, now, turn, come, step, ease, failing, tight, slot...}
--   code 0  slots are granted; turn (0 none) and come say when to ask for the next
--   code 1  nothing yet: come back at come
--   code 2  the account is held; code 3: the breaker is not closed
local process, lane = ARGV[3], ARGV[4]
local want, turn, more = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local known, caution = tonumber(ARGV[8]), ARGV[9] == '1'
local live, bulk = tonumber(ARGV[12]), tonumber(ARGV[13])

note(tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18]))

if s[count_field] < bucket * 1000000 then set(count_field, bucket * 1000000) end
local unused = math.min(tonumber(ARGV[14]), s[count_field] - bucket * 1000000)
set(count_field, s[count_field] - unused)

if ARGV[20] == '1' then
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'w:' then
      local seen = tonumber(string.match(all[i + 1], '(%d+)$') or 0)
      if now - seen > 60 * SECOND then redis.call('HDEL', key, all[i]) end
    end
  end
end

local granted = {}

local function answer(code, new_turn, come)
  for _ = 1, #granted do
    if live > 0 then live = live - 1 elseif bulk > 0 then bulk = bulk - 1 end
  end
  set(count_field, s[count_field] + #granted)
  save('w:' .. process, string.format('%.0f:%.0f:%.0f', live, bulk, now))
  local failing = 0
  if s.fails > 0 then failing = 1 end
  return {code, now, new_turn, come, step, ease(), failing, tight(), unpack(granted)}
end

if s.held > 0 and ARGV[10] ~= '1' then return answer(2, 0, 0) end
if s.open_until > 0 and (ARGV[11] == '' or ARGV[11] ~= s.probe_nonce) then return answer(3, 0, s.open_until) end

-- What was lost comes back: from what this process remembers, and from the rule that no slot lies further ahead than
-- the horizon and a step, so that nothing is given out twice. A fleet that never called waits one step, no more.
local floor = s.last
if known <= far then floor = math.max(floor, known) end
if missing then floor = math.max(floor, now) end
if caution or (missing and known > 0) then floor = math.max(floor, now + horizon + step) end
if floor > s.last then
  set('last', floor)
  if missing or caution then set('since', 0) end
end

local function grant(slot)
  if s.since == 0 or slot > s.last + 1.5 * step then set('since', slot) end
  granted[#granted + 1] = slot
  set('last', slot)
end

local late = tonumber(ARGV[19])
local moved = late > 0 and late == s.last
if moved then set('last', late - step) end

local function next_slot() return math.max(s.last + step, s['until'], now) end

if s['until'] > now + horizon and lane == 'live' then return answer(1, 0, s['until'] - horizon) end

if lane == 'live' then
  for _ = 1, want do grant(next_slot()) end
  if more then set('keep', s.last + step) end
  return answer(0, 0, 0)
end

-- Bulk. A caller without a turn takes the one behind the last; a turn that nobody else holds before it is due at once.
local free = next_slot()
if turn > s.tail then turn = 0 end
-- One that was late for its slot gets it again, moved, and keeps the turn it has.
if moved and free <= now + horizon then
  grant(free)
  return answer(0, turn, math.max(0, turn - horizon))
end
if turn == 0 then
  turn = math.max(s.tail + step, free)
  if turn <= s.keep then turn = s.keep + step end
  set('tail', turn)
end
if turn - horizon > now + 2000 then return answer(1, turn, turn - horizon) end
-- Its turn has come, but live calls took the slots: it goes to the end of the line.
if free <= s.keep or free > now + horizon + step then
  turn = math.max(s.tail, s.keep, free) + step
  set('tail', turn)
  return answer(1, turn, math.max(turn - horizon, now + step))
end
grant(free)
if want > 1 and s.tail <= turn and next_slot() <= now + horizon then grant(next_slot()) end
set('tail', math.max(s.tail, s.last))
if not more then return answer(0, 0, 0) end
turn = math.max(s.tail, s.last) + step
set('tail', turn)
return answer(0, turn, turn - horizon)
