--[[
  Says that a node is up, and tells which are.

  KEYS[1]  sorted set of node -> when its lease ends, in milliseconds of Redis' clock
  KEYS[2]  hash of node -> address

  ARGV[1]  node
  ARGV[2]  its address
  ARGV[3]  milliseconds of its lease; 0: it leaves
  ARGV[4]  channel of news

  Returns {node, address, node, address, ...} of all that are up.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local news = false
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
  news = true
end

local lease = tonumber(ARGV[3])
local known = redis.call('HGET', KEYS[2], ARGV[1])
if lease > 0 then
  redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  -- Nobody is left to read them when all nodes have ended at once.
  redis.call('PEXPIRE', KEYS[1], 2 * lease)
  redis.call('PEXPIRE', KEYS[2], 2 * lease)
  news = news or known ~= ARGV[2]
elseif known then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
  news = true
end
if news then
  redis.call('PUBLISH', ARGV[4], ARGV[1])
end
return redis.call('HGETALL', KEYS[2])
