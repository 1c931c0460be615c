--[[
  Publishes one revision of the routing document: all of it, or nothing. What it changed is kept as history.

  KEYS[1]  head: hash of {revision, counter, position (id of the newest entry of the changes), historyFrom (count of the
           oldest revision kept), historyBytes}
  KEYS[2]  changes: stream of {revision, base, author, at, reload, upserts, deletes}
  KEYS[3]  history: hash of count -> JSON {revision, base, author, at, note, changes, parts, bytes}
  KEYS[4]  historyChanges: hash of count:part -> JSON [[type number, id, JSON text before or false, after or false], ...]
  KEYS[5..] one hash per resource type, id -> JSON, in the order that type numbers count them, from 1

  ARGV[1]  base revision that the change was made on; '' = whatever is current
  ARGV[2]  random part of the revision's id, so that ids stay unique when Redis lost its data and counts anew
  ARGV[3]  author
  ARGV[4]  date, ISO 8601
  ARGV[5]  note
  ARGV[6]  entries to keep in the stream, about
  ARGV[7]  '1' = too large for the stream: followers find the changes in the history
  ARGV[8]  revisions to keep in the history
  ARGV[9]  bytes to keep in the history; the newest revision is always kept
  ARGV[10] how many parts of deletes follow: JSON [[type number, id], ...]; all others are
  ARGV[..] parts of upserts: JSON [[type number, id, resource as JSON text], ...]

  Returns {1, revision}, or {0, current revision} when the base is not current.
]]
local head, changes, history, historyChanges = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local FIRST_TYPE, FIRST_PART = 4, 11
local current = redis.call('HGET', head, 'revision') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= current then
  return { 0, current }
end

-- All is decoded before the first write: an error must not leave half a revision behind.
local parts = {}
for i = FIRST_PART, #ARGV do
  parts[#parts + 1] = cjson.decode(ARGV[i])
end
local lastDelete = tonumber(ARGV[10])
local counter = tonumber(redis.call('HGET', head, 'counter') or '0') + 1
local revision = string.format('%d-%s', counter, ARGV[2])

local count, bytes = 0, 0
for i, part in ipairs(parts) do
  local kept = {}
  for j, item in ipairs(part) do
    local key, id = KEYS[FIRST_TYPE + item[1]], item[2]
    local before = redis.call('HGET', key, id)
    local after = i > lastDelete and item[3]
    if after then
      redis.call('HSET', key, id, after)
    elseif before then
      redis.call('HDEL', key, id)
    end
    kept[j] = { item[1], id, before, after }
  end
  local text = cjson.encode(kept)
  redis.call('HSET', historyChanges, counter .. ':' .. (i - 1), text)
  count, bytes = count + #part, bytes + #text
end

local reload = ARGV[7] == '1'
local deletes, upserts = '[]', '[]'
if not reload then
  deletes = lastDelete > 0 and ARGV[FIRST_PART] or '[]'
  upserts = ARGV[FIRST_PART + lastDelete] or '[]'
end
local position = redis.call('XADD', changes, 'MAXLEN', '~', ARGV[6], '*',
  'revision', revision, 'base', current, 'author', ARGV[3], 'at', ARGV[4], 'reload', ARGV[7],
  'upserts', upserts, 'deletes', deletes)
redis.call('HSET', history, counter, cjson.encode({
  revision = revision, base = current, author = ARGV[3], at = ARGV[4], note = ARGV[5],
  changes = count, parts = #parts, bytes = bytes,
}))

local total = tonumber(redis.call('HGET', head, 'historyBytes') or '0') + bytes
local from = tonumber(redis.call('HGET', head, 'historyFrom') or counter)
local most, mostBytes = tonumber(ARGV[8]), tonumber(ARGV[9])
-- A counter that somebody set by hand must not make this long.
from = math.max(from, counter - 2 * most)
while from < counter and (counter - from >= most or total > mostBytes) do
  local old = redis.call('HGET', history, from)
  if old then
    local summary = cjson.decode(old)
    for i = 0, summary.parts - 1 do
      redis.call('HDEL', historyChanges, from .. ':' .. i)
    end
    redis.call('HDEL', history, from)
    total = total - summary.bytes
  end
  from = from + 1
end
redis.call('HSET', head, 'revision', revision, 'counter', counter, 'position', position,
  'historyFrom', from, 'historyBytes', total)
return { 1, revision }
