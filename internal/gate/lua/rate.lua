-- rate.lua sets the rate while the fleet runs: ARGV[1] and ARGV[2] are the new calls and µs. Slots given out at the old
-- pace and not used yet are void; processes drop them when they hear of the change. Result: now
set('calls', tonumber(ARGV[1]))
set('per', tonumber(ARGV[2]))
set('cap', 0)
set('high', 0)
set('zeros', 0)
set('trickle', 0)
set('since', 0)
set('tail', 0)
set('keep', 0)
if s.last > now then set('last', now) end
save()
return now
