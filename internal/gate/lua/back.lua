-- back.lua takes slots back that will not be used, newest first, as long as nothing was given out behind them.
--
-- ARGV[3..] slots
-- Result: how many were taken back
local back = 0
for i = 3, #ARGV do
  if tonumber(ARGV[i]) ~= s.last then break end
  set('last', s.last - step)
  back = back + 1
end
if s[count_field] - back >= bucket * 1000000 then set(count_field, s[count_field] - back) end
save()
return back
