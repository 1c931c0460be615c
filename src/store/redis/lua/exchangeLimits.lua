--[[
  Renews a node's lease and settles its accounts of shared limits: what all nodes hold together never exceeds a limit.

  KEYS[1]  nodes: sorted set of node id -> end of its lease, in milliseconds of Redis' clock
  KEYS[2]  state: hash {recovery: until when nobody gets more than it had}
  KEYS[3..] one hash for each limit:
           s:<node> slots held, t:<node> tokens held, c:<node> calls consumed,
           pool = tokens that nobody holds, at = when pool was brought up to date, wish = when somebody last went short

  ARGV[1]  node id (another for each start of the process)
  ARGV[2]  lease in milliseconds
  ARGV[3]  '1' = the node held parts before and lost touch
  ARGV[4]  channel of news
  ARGV[5]  milliseconds that the hash of an unused limit is kept
  ARGV[6..] ten for each limit: its name, calls at a time (-1: not limited), calls up on the node, slots held, slots wanted,
           calls per second (-1: not limited), calls consumed, calls acknowledged, tokens wanted, '1' = urgent

  Returns {live nodes, '1' while recovering, then slots and tokens held for each limit}.
]]
local FIELDS = 10
local node, lease, channel = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local alive, nodes = {}, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')) do
  alive[id] = true
  nodes = nodes + 1
end
-- A node that lost touch meets nobody: Redis was away for all, or has lost its data. Others will come back as well.
if ARGV[3] == '1' and nodes == 0 then
  redis.call('HSET', KEYS[2], 'recovery', now + lease)
end
local recovering = now < tonumber(redis.call('HGET', KEYS[2], 'recovery') or '0')
if not alive[node] then
  alive[node] = true
  nodes = nodes + 1
end
redis.call('ZADD', KEYS[1], now + lease, node)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - lease)

-- What the others hold, by live nodes; what the dead held is taken back.
local function account(key)
  local mine, others, seen = {}, { s = 0, t = 0 }, {}
  local fields = redis.call('HGETALL', key)
  local plain = {}
  for i = 1, #fields, 2 do
    local kind, id = string.match(fields[i], '^([stc]):(.*)$')
    if kind == nil then
      plain[fields[i]] = tonumber(fields[i + 1])
    elseif id == node then
      mine[kind] = tonumber(fields[i + 1])
    elseif alive[id] then
      seen[id] = true
      if kind ~= 'c' then
        others[kind] = others[kind] + tonumber(fields[i + 1])
      end
    elseif not recovering then
      redis.call('HDEL', key, fields[i])
    end
  end
  local unseen = nodes - 1
  for _ in pairs(seen) do
    unseen = unseen - 1
  end
  return mine, others, unseen, plain
end

-- A live node that never asked for a limit may be using an equal part of it by itself: that is kept for it.
local function settleSlots(ask, others, unseen)
  local room = ask.limit - others - unseen * math.floor(ask.limit / nodes)
  if recovering then
    room = math.min(ask.held, ask.limit)
  end
  return math.max(ask.up, math.min(ask.wanted, math.max(room, 0)))
end

local function settleTokens(key, ask, mine, others, unseen, plain)
  local capacity = math.max(1, ask.rate)
  local delta = math.max(0, ask.consumed - (mine.c or ask.acknowledged))
  local held = mine.t or 0
  local pool = (plain.pool or capacity) + math.max(0, now - (plain.at or now)) * ask.rate / 1000
  if delta > held then
    -- It went by itself, or has just come: what it used beyond its part was of the rate of that time.
    pool = math.max(0, math.min(pool + held - delta, capacity - others))
    held = 0
  else
    -- Time adds nothing to what was full before these calls: when they were made nobody knows, so it counts as full until
    -- now. Otherwise a burst after a quiet time would have a second's calls more than it may.
    pool = math.max(0, math.min(pool, capacity - others - held))
    local kept = math.min(held - delta, ask.tokens)
    pool = pool + held - delta - kept
    held = kept
  end
  local free = math.floor(pool + 1e-6 - unseen * math.floor(capacity / nodes))
  if not recovering and free > 0 and ask.tokens > held then
    local more = math.min(free, ask.tokens - held)
    held = held + more
    pool = pool - more
  end
  redis.call('HSET', key, 'pool', string.format('%.6f', pool), 'at', now, 't:' .. node, held, 'c:' .. node, ask.consumed)
  return held
end

local function tell(key, ask, slots, tokens, plain, freed)
  local short = math.max(0, ask.wanted - slots)
  local few = math.max(0, ask.tokens - tokens)
  local since = now - (plain.wish or 0)
  if (short > 0 or few > 0) and nodes > 1 then
    if since < (ask.urgent and 5 or 500) then
      return
    end
    redis.call('HSET', key, 'wish', now)
    redis.call('PUBLISH', channel, cjson.encode({
      type = 'wish', from = node, key = ask.name, slots = short, tokens = few, urgent = ask.urgent }))
  elseif freed and since < 2000 then
    redis.call('PUBLISH', channel, cjson.encode({ type = 'freed', from = node, key = ask.name }))
  end
end

local answer = { nodes, recovering and '1' or '0' }
for i = 3, #KEYS do
  local key, at = KEYS[i], 6 + (i - 3) * FIELDS
  local ask = {
    name = ARGV[at], limit = tonumber(ARGV[at + 1]), up = tonumber(ARGV[at + 2]), held = tonumber(ARGV[at + 3]),
    wanted = tonumber(ARGV[at + 4]), rate = tonumber(ARGV[at + 5]), consumed = tonumber(ARGV[at + 6]),
    acknowledged = tonumber(ARGV[at + 7]), tokens = tonumber(ARGV[at + 8]), urgent = ARGV[at + 9] == '1',
  }
  local mine, others, unseen, plain = account(key)
  local slots, tokens = 0, 0
  if ask.limit >= 0 then
    slots = settleSlots(ask, others.s, unseen)
    redis.call('HSET', key, 's:' .. node, slots)
  else
    redis.call('HSET', key, 's:' .. node, 0)
  end
  if ask.rate >= 0 then
    tokens = settleTokens(key, ask, mine, others.t, unseen, plain)
  end
  redis.call('PEXPIRE', key, ARGV[5])
  tell(key, ask, slots, tokens, plain, slots < (mine.s or 0) or tokens < (mine.t or 0))
  answer[#answer + 1] = slots
  answer[#answer + 1] = tokens
end
return answer
