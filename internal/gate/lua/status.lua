-- status.lua reads everything. Result: {now, calls, per, limit, step, {name, value, ...}}
return {now, calls, per, limit, step, redis.call('HGETALL', key)}
