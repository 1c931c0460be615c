--[[
  Replaces the contacts of one registered user, if nobody else has changed them meanwhile.

  KEYS[1]  the user's entry: version, a line break, JSON of the registration
  KEYS[2]  index: sorted set of user -> when the last contact runs out, in milliseconds of Redis' clock

  ARGV[1]  version that the change is based on; 0: there was nothing
  ARGV[2]  JSON of the registration; empty: no contact is left
  ARGV[3]  milliseconds until its last contact runs out
  ARGV[4]  the user, as the index names it
  ARGV[5]  channel of news
  ARGV[6]  node that writes

  Returns {1, new version}, or {0, version, JSON} of what is there.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local version, stored = 0, ''
local entry = redis.call('GET', KEYS[1])
if entry then
  local first, rest = string.match(entry, '^(%d+)\n(.*)$')
  version, stored = tonumber(first), rest
end
if version ~= tonumber(ARGV[1]) then
  return { 0, string.format('%.0f', version), stored }
end

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
-- Versions grow by the clock: an entry that ran out and came back is newer than anything that is remembered of it.
local next = string.format('%.0f', math.max(version + 1, now))
local left = tonumber(ARGV[3])
if ARGV[2] == '' or left <= 0 then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[4])
else
  redis.call('SET', KEYS[1], next .. '\n' .. ARGV[2], 'PX', left)
  redis.call('ZADD', KEYS[2], now + left, ARGV[4])
end
redis.call('PUBLISH', ARGV[5], ARGV[6] .. '\n' .. next .. '\n' .. ARGV[4] .. '\n' .. ARGV[2])
return { 1, next }
