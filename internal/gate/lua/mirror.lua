-- mirror.lua marks a kind as held or not, so that the script that gives slots needs no second key.
--
-- ARGV[3]  1 held, 0 free, or stale: free if the mark is older than 10 s (whoever raised it died before the hold stood)
-- Result: 1 when the kind is held afterwards
if ARGV[3] == '1' then
  set('held', now)
elseif ARGV[3] == '0' or now - s.held > 10 * SECOND then
  set('held', 0)
end
save()
if s.held > 0 then return 1 end
return 0
