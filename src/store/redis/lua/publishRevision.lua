--[[
  Publishes one revision of the routing document: all of it, or nothing.

  KEYS[1]  head: hash of {revision, counter, position (id of the newest entry of the changes)}
  KEYS[2]  changes: stream of {revision, base, author, at, reload, upserts, deletes}
  KEYS[3..] one hash per resource type, id -> JSON, in the order that ARGV[6] and ARGV[7] count them, from 1

  ARGV[1]  base revision that the change was made on; '' = whatever is current
  ARGV[2]  random part of the revision's id, so that ids stay unique when Redis lost its data and counts anew
  ARGV[3]  author
  ARGV[4]  date, ISO 8601
  ARGV[5]  entries to keep in the stream, about
  ARGV[6]  upserts: JSON [[type number, id, resource as JSON text], ...]
  ARGV[7]  deletes: JSON [[type number, id], ...]
  ARGV[8]  '1' = too large for the stream: followers load the document anew

  Returns {1, revision}, or {0, current revision} when the base is not current.
]]
local head, changes = KEYS[1], KEYS[2]
local current = redis.call('HGET', head, 'revision') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= current then
  return { 0, current }
end

-- Both are decoded before the first write: an error must not leave half a revision behind.
local upserts, deletes = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
local counter = tonumber(redis.call('HGET', head, 'counter') or '0') + 1
local revision = string.format('%d-%s', counter, ARGV[2])
local reload = ARGV[8] == '1'

local position = redis.call('XADD', changes, 'MAXLEN', '~', ARGV[5], '*',
  'revision', revision, 'base', current, 'author', ARGV[3], 'at', ARGV[4], 'reload', ARGV[8],
  'upserts', reload and '[]' or ARGV[6], 'deletes', reload and '[]' or ARGV[7])
for _, delete in ipairs(deletes) do
  redis.call('HDEL', KEYS[2 + delete[1]], delete[2])
end
for _, upsert in ipairs(upserts) do
  redis.call('HSET', KEYS[2 + upsert[1]], upsert[2], upsert[3])
end
redis.call('HSET', head, 'revision', revision, 'counter', counter, 'position', position)
return { 1, revision }
