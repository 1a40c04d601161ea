-- kumo.memoize. A cache belongs to the state it is in: a state runs one handler at a time, so
-- nobody ever waits for another's result, and a handler that suspends while it computes one
-- suspends here like anywhere else.
local native = ...

local select, pcall, error = select, pcall, error
local FAILURE_TTL = 60

local caches = {} -- by name

-- Two generations: what is used moves to the young one; when that holds `capacity` entries it
-- becomes the old one, and the old one goes. So what fits is never lost, and at most twice as
-- much is kept.
local function cache_new(capacity, text)
  return { young = {}, old = {}, count = 0, capacity = capacity > 0 and capacity or 1, text = text }
end

local function store(cache, key, entry)
  if cache.young[key] == nil then
    if cache.count >= cache.capacity then
      cache.old, cache.young, cache.count = cache.young, {}, 0
    end
    cache.count = cache.count + 1
  end
  cache.young[key] = entry
end

local function find(cache, key, now)
  local entry = cache.young[key]
  if not entry then
    entry = cache.old[key]
    if entry then
      cache.old[key] = nil
      store(cache, key, entry)
    end
  end
  return entry and entry.expires > now and entry or nil
end

local function answer(entry)
  if entry.failed then
    error(entry.value, 0)
  end
  return native.share(entry.value)
end

local function settle(cache, key, ttl, ok, ...)
  local entry = {}
  if ok then
    local n = select('#', ...)
    entry.value = native.freeze(n > 1 and { ... } or (...))
    entry.expires = native.now() + ttl
  else
    entry.failed, entry.value = true, (...)
    entry.expires = native.now() + FAILURE_TTL
  end
  store(cache, key, entry)
  return answer(entry)
end

return function(fn, params)
  local name, ttl, capacity, with_epoch, text = native.params(fn, params)
  local cache = caches[name]
  if not cache or cache.text ~= text then
    cache = cache_new(capacity, text)
    caches[name] = cache
  end
  return function(...)
    local key = native.key(with_epoch, ...)
    local entry = find(cache, key, native.now())
    if entry then
      return answer(entry)
    end
    return settle(cache, key, ttl, pcall(fn, ...))
  end
end
