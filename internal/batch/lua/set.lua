-- Sets fields of the progress hash, if there is one. KEYS: progress hash. ARGV: fields and values.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
