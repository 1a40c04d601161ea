-- What Lua 5.4 has and LuaJIT has not, as far as Lua itself can say it. Runs once in every fresh
-- state, before anything else; `native` holds what only C can do.
local native = ...

local type, getmetatable, select, error, tostring = type, getmetatable, select, error, tostring
local pcall, setmetatable, rawlen = pcall, setmetatable, rawlen
local floor, huge = math.floor, math.huge
local metafield = native.metafield

-- Tables without metamethods, and arrays from JSON (their metatable is hidden), go the fast way.
local function plain(t)
  return type(t) == 'table' and not getmetatable(t)
end

local function check_indexable(t, fname, expected)
  local kind = type(t)
  if kind ~= 'table' and kind ~= 'userdata' then
    error(("bad argument #1 to '%s' (%s expected, got %s)"):format(fname, expected or 'table',
      t == nil and 'nil' or kind), 3)
  end
end

local raw_ipairs = ipairs

local function ipairs_step(t, i)
  i = i + 1
  local v = t[i]
  if v ~= nil then
    return i, v
  end
end

function ipairs(t)
  if plain(t) then
    return raw_ipairs(t)
  end
  check_indexable(t, 'ipairs')
  return ipairs_step, t, 0
end

-- ---- table ----

local raw_unpack, raw_insert, raw_remove = unpack, table.insert, table.remove
local raw_concat, raw_sort, raw_move = table.concat, table.sort, table.move

function table.pack(...)
  return { n = select('#', ...), ... }
end

local function copy_range(t, i, j)
  local out, n = {}, 0
  for k = i, j do
    n = n + 1
    out[n] = t[k]
  end
  return out, n
end

function table.unpack(t, i, j)
  if plain(t) then
    return raw_unpack(t, i or 1, j or #t)
  end
  i, j = i or 1, j or #t
  if j - i >= 1e6 then
    error('too many results to unpack', 2)
  end
  local out, n = copy_range(t, i, j)
  return raw_unpack(out, 1, n)
end

function table.insert(t, ...)
  if plain(t) then
    return raw_insert(t, ...)
  end
  check_indexable(t, 'insert')
  local n, count = #t, select('#', ...)
  if count == 1 then
    t[n + 1] = (...)
    return
  elseif count ~= 2 then
    error("wrong number of arguments to 'insert'", 2)
  end
  local pos, value = ...
  if pos < 1 or pos > n + 1 then
    error("bad argument #2 to 'insert' (position out of bounds)", 2)
  end
  for k = n, pos, -1 do
    t[k + 1] = t[k]
  end
  t[pos] = value
end

function table.remove(t, pos)
  if plain(t) then
    if pos == nil then
      return raw_remove(t)
    end
    return raw_remove(t, pos)
  end
  check_indexable(t, 'remove')
  local n = #t
  if pos == nil then
    pos = n
  elseif n + 1 == pos then
    local value = t[pos]
    t[pos] = nil
    return value
  elseif n > 0 and (pos < 1 or pos > n + 1) then
    error("bad argument #2 to 'remove' (position out of bounds)", 2)
  end
  local value = t[pos]
  for k = pos, n - 1 do
    t[k] = t[k + 1]
  end
  if pos <= n then
    t[n] = nil
  end
  return value
end

-- Boxed integers join like numbers; everything else raises as before.
local function concat_parts(t, i, j)
  local out, n = copy_range(t, i, j)
  for k = 1, n do
    if native.is_integer(out[k]) then
      out[k] = tostring(out[k])
    end
  end
  return out, n
end

function table.concat(t, sep, i, j)
  if plain(t) then
    local ok, text = pcall(raw_concat, t, sep, i or 1, j or #t)
    if ok then
      return text
    end
  else
    check_indexable(t, 'concat')
  end
  local out, n = concat_parts(t, i or 1, j or #t)
  return raw_concat(out, sep, 1, n)
end

function table.sort(t, less)
  if plain(t) then
    return raw_sort(t, less)
  end
  check_indexable(t, 'sort')
  local out, n = copy_range(t, 1, #t)
  raw_sort(out, less)
  for k = 1, n do
    t[k] = out[k]
  end
end

function table.move(a, f, e, t, b)
  b = b or a
  if plain(a) and plain(b) then
    return raw_move(a, f, e, t, b)
  end
  if e >= f then
    local out, n = copy_range(a, f, e)
    for k = 1, n do
      b[t + k - 1] = out[k]
    end
  end
  return b
end

-- ---- math ----

math.maxinteger = native.maxinteger
math.mininteger = native.mininteger

function math.type(...)
  if select('#', ...) == 0 then
    error("bad argument #1 to 'type' (value expected)", 2)
  end
  local x = ...
  if native.is_integer(x) then
    return 'integer'
  elseif type(x) ~= 'number' then
    return nil
  end
  return x == floor(x) and x ~= huge and x ~= -huge and 'integer' or 'float'
end

math.tointeger = native.tointeger
math.ult = native.ult

for _, name in raw_ipairs { 'floor', 'ceil', 'abs' } do
  local raw = math[name]
  math[name] = function(x)
    if native.is_integer(x) then
      return name == 'abs' and x < 0 and -x or x
    end
    return raw(x)
  end
end

-- ---- operators that the source rewriter turned into calls ----

local function number_of(x)
  if type(x) == 'string' then
    return tonumber(x)
  end
  return x
end

local function operator_fallback(event, a, b, what)
  local mm = metafield(a, event) or metafield(b, event)
  if mm then
    return true, (mm(a, b))
  end
  local culprit = type(b)
  if type(a) ~= 'number' and tonumber(a) == nil and not native.is_integer(a) then
    culprit = type(a)
  end
  error(("attempt to perform %s on a %s value"):format(what, culprit), 3)
end

function string.__op_idiv(a, b)
  if type(a) == 'number' and type(b) == 'number' then
    return floor(a / b)
  end
  local x, y = number_of(a), number_of(b)
  if native.is_integer(x) or native.is_integer(y) then
    if (type(x) == 'number' or native.is_integer(x)) and
        (type(y) == 'number' or native.is_integer(y)) then
      return native.idiv(x, y)
    end
  elseif type(x) == 'number' and type(y) == 'number' then
    return floor(x / y)
  end
  local _, value = operator_fallback('__idiv', a, b, 'arithmetic')
  return value
end

local function bitwise(name, event)
  local op = native[name]
  string['__op_' .. name] = function(a, b)
    local ok, value = op(a, b)
    if ok == nil then
      error('number has no integer representation', 2)
    elseif not ok then
      ok, value = operator_fallback(event, a, b, 'bitwise operation')
    end
    return value
  end
end

bitwise('band', '__band')
bitwise('bor', '__bor')
bitwise('bxor', '__bxor')
bitwise('shl', '__shl')
bitwise('shr', '__shr')
bitwise('bnot', '__bnot')

function string.__op_close(value, name)
  if value and not metafield(value, '__close') then
    error(("variable '%s' got a non-closable value"):format(name), 2)
  end
end

-- The rest of a block behind a <close> variable returned, or raised. Its values come back packed,
-- nothing as nil.
local function scope_end(value, ok, ...)
  if value then
    local close = metafield(value, '__close')
    if not ok then
      close(value, (...))
    else
      close(value, nil)
    end
  end
  if not ok then
    error((...), 0)
  end
  local n = select('#', ...)
  return n > 0 and { n = n, ... } or nil
end

function string.__op_scope(value, fn, ...)
  return scope_end(value, pcall(fn, ...))
end

function string.__op_results(packed)
  return raw_unpack(packed, 2, packed.n)
end

-- ---- the rest ----

local raw_collectgarbage = collectgarbage

function collectgarbage(what, ...)
  if what == 'generational' or what == 'incremental' then
    return 'incremental'
  end
  return raw_collectgarbage(what or 'collect', ...)
end

package.searchers = package.loaders
